"""A name that no setting has is refused in one line, however it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from recsys import cli
from recsys.diagnosis.setting_names import setting_groups, variable_names
from recsys.settings import Settings, get_settings

GROUPS = [group for group in setting_groups(Settings) if group.model is not Settings]


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without an `.env` of others."""
    monkeypatch.setenv("RECSYS_VAR", str(tmp_path / "var"))
    monkeypatch.chdir(tmp_path)


def complaint_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> str:
    with monkeypatch.context() as patch:
        patch.setenv(name, value)
        get_settings.cache_clear()
        code = cli.run(["migrate"])
    get_settings.cache_clear()
    out, complaint = capsys.readouterr()
    assert (code, out) == (2, ""), complaint
    assert complaint.count("\n") == 1
    return complaint


@pytest.mark.parametrize("variable", variable_names(Settings))
def test_a_misspelt_setting_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    complaint = complaint_of(monkeypatch, capsys, variable + "QQ", "1")
    assert complaint.startswith(f"recsys: {variable}QQ is no setting of recsys; the nearest is {variable};")


@pytest.mark.parametrize("group", [group.title for group in GROUPS])
def test_a_misspelt_name_inside_of_json_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], group: str
) -> None:
    complaint = complaint_of(monkeypatch, capsys, f"RECSYS_{group.upper()}", json.dumps({"qq": 1}))
    assert f"RECSYS_{group.upper()}__QQ is no setting of recsys" in complaint


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("RECSYS_QQ", "1", "RECSYS_QQ"),
        ("RECSYS_API_PORT", "1", "RECSYS_API_PORT"),
        ("recsys_api__prot", "1", "RECSYS_API__PROT"),
        ("RECSYS_VAR__QQ", "1", "RECSYS_VAR__QQ"),
        ("RECSYS_API__PORT__QQ", "1", "RECSYS_API__PORT__QQ"),
        (
            "RECSYS_SHOP__DISCOUNTS",
            '{"SPRING": {"percent": 10, "minium": 50}}',
            "RECSYS_SHOP__DISCOUNTS__SPRING__MINIUM",
        ),
    ],
)
def test_other_names_that_no_setting_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, refused: str
) -> None:
    assert f"{refused} is no setting of recsys" in complaint_of(monkeypatch, capsys, name, value)


def test_a_name_in_the_env_file_is_refused_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("RECSYS_API__PROT=1\n", encoding="utf-8")
    complaint = complaint_of(monkeypatch, capsys, "RECSYS_LOG_LEVEL", "INFO")
    assert complaint.startswith("recsys: RECSYS_API__PROT is no setting of recsys")


def test_keys_of_a_table_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_FEATURES__WEIGHTS__VIEW", "2")
    get_settings.cache_clear()
    assert get_settings().features.weights == {"view": 2.0}


def test_each_class_of_settings_refuses_names_that_it_does_not_have() -> None:
    def below(model: type[BaseModel]) -> list[type[BaseModel]]:
        inner = [
            part
            for field in model.model_fields.values()
            for part in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if isinstance(part, type) and issubclass(part, BaseModel)
        ]
        return [*inner, *(deeper for each in inner for deeper in below(each))]

    classes = below(Settings)
    assert len(classes) > len(GROUPS)
    assert [each.__name__ for each in classes if each.model_config.get("extra") != "forbid"] == []
