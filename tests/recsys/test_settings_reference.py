"""`.env.example` and the page of the configuration say what `recsys.settings` says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_settings import DotEnvSettingsSource

from recsys import settings_reference
from recsys.settings import Settings
from recsys.settings_reference import configuration_page, environment_example, sections

ROOT = Path(__file__).resolve().parents[2]
REMEDY = "run `python -m recsys.settings_reference`"


@pytest.mark.parametrize(
    ("file", "text"),
    [(".env.example", environment_example()), ("docs/reference/configuration.md", configuration_page())],
)
def test_the_file_is_what_the_settings_say(file: str, text: str) -> None:
    assert (ROOT / file).read_text(encoding="utf-8") == text, REMEDY


def test_each_setting_has_an_effect() -> None:
    assert [each.name for section in sections() for each in section.variables if not each.effect] == []


def test_each_entry_of_a_docstring_names_a_setting() -> None:
    models = [
        field.annotation
        for field in Settings.model_fields.values()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    ]
    for model in (Settings, *models):
        _, effects = settings_reference._documented(model)
        assert set(effects) <= set(model.model_fields), model.__name__


def test_the_example_without_its_comment_signs_gives_the_defaults(tmp_path: Path) -> None:
    """Each written default is read back as that default, and each variable is read."""
    written = re.findall(r"^# (RECSYS_\w+=.+)$", environment_example(), re.MULTILINE)
    assert len(written) > 60
    file = tmp_path / ".env"
    file.write_text("\n".join(line.replace("=", "='", 1) + "'" for line in written), encoding="utf-8")
    read = DotEnvSettingsSource(Settings, env_file=file)()
    variables = {
        f"RECSYS_{name}__{field}".upper()
        for name, values in read.items()
        if isinstance(values, dict)
        for field in values
    } | {f"RECSYS_{name}".upper() for name, values in read.items() if not isinstance(values, dict)}
    assert variables == {line.partition("=")[0] for line in written}
    assert Settings(_env_file=file) == Settings()
