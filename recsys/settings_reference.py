"""The reference of the settings: `.env.example` and `docs/reference/configuration.md`.

`python -m recsys.settings_reference` writes both files from `recsys.settings`; a test compares them with what
it would write.
"""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from recsys.diagnosis.setting_names import SettingGroup, setting_groups
from recsys.settings import Settings

__all__ = ["Section", "Variable", "configuration_page", "environment_example", "main", "sections"]

_ENTRY = re.compile(r"^(?P<names>[a-z_0-9]+(?:, [a-z_0-9]+)*)\n(?P<effect>(?: {4}\S.*\n?)+)", re.MULTILINE)
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_KINDS = {
    "int": "integer",
    "float": "number",
    "Decimal": "number",
    "str": "text",
    "Path": "path",
    "bool": "boolean",
}


@dataclass(frozen=True)
class Variable:
    """One environment variable. `default` is written as the variable would be; None: unset."""

    name: str
    kind: str
    default: str | None
    effect: str


@dataclass(frozen=True)
class Section:
    """The variables of one class of settings, and the first paragraph of its docstring."""

    title: str
    summary: str
    variables: tuple[Variable, ...]


def sections() -> list[Section]:
    """All settings in the order of `recsys.settings`, those of the process itself first."""
    return [_section(group) for group in setting_groups(Settings)]


def environment_example() -> str:
    """The text of `.env.example`: each variable as a comment with its default."""
    lines = [
        "# Settings of recsys: copy this file to .env, remove the sign before a line and change its value.",
        "# A line without a value is unset.",
        "# Written by `python -m recsys.settings_reference` from recsys/settings/.",
    ]
    for section in sections():
        lines += ["", "", *_comment(f"{section.title}: {section.summary}")]
        for variable in section.variables:
            lines += ["", *_comment(f"{variable.effect} ({variable.kind})")]
            lines.append(f"# {variable.name}={'' if variable.default is None else variable.default}")
    return "\n".join(lines) + "\n"


def configuration_page() -> str:
    """The text of `docs/reference/configuration.md`: a table for each section."""
    lines = [
        "# Configuration",
        "",
        "Settings are read from the environment, else from a file `.env` in the working directory.",
        "`.env.example` lists all of them with their defaults. Values of lists and mappings are JSON.",
        "This page is written by `python -m recsys.settings_reference` from `recsys/settings/`.",
    ]
    for section in sections():
        lines += ["", f"## {section.title}", "", section.summary, ""]
        lines += ["| variable | value | default | effect |", "|---|---|---|---|"]
        for variable in section.variables:
            default = "unset" if variable.default is None else f"`{variable.default}`"
            cells = (f"`{variable.name}`", variable.kind, default, variable.effect)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files into the checkout that this module lies in."""
    root = Path(__file__).resolve().parents[1]
    (root / ".env.example").write_text(environment_example(), encoding="utf-8")
    page = root / "docs" / "reference" / "configuration.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(configuration_page(), encoding="utf-8")


def _section(group: SettingGroup) -> Section:
    summary, effects = _documented(group.model)
    variables = []
    for name, field in group.fields.items():
        variables.append(Variable(group.variable(name), _kind(field), _default(field), effects.get(name, "")))
    return Section(group.title, summary, tuple(variables))


def _documented(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """The docstring's first paragraph, and the effect of each name of its section `Attributes`."""
    summary, _, rest = (inspect.getdoc(model) or "").partition("\n\n")
    _, _, attributes = rest.partition("Attributes\n----------\n")
    effects = {
        name: " ".join(entry["effect"].split())
        for entry in _ENTRY.finditer(attributes)
        for name in entry["names"].split(", ")
    }
    return " ".join(summary.split()), effects


def _default(field: FieldInfo) -> str | None:
    value: Any = None if field.default_factory is not None else field.default
    if value is None or value == ():
        return None
    plain = to_jsonable_python(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _kind(field: FieldInfo) -> str:
    """Type and range in words, such as `integer ≥ 1, ≤ 65535`."""
    bounds = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in _BOUNDS.items()
        if hasattr(limit, name)
    ]
    return " ".join([_words(field.annotation), ", ".join(bounds)]).strip()


def _words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(get_args(annotation))
    options = [option for option in get_args(annotation) if option is not type(None)]
    if get_origin(annotation) in (dict, tuple):
        return "JSON object" if get_origin(annotation) is dict else "JSON list"
    if options:
        return " or ".join(_words(option) for option in options)
    return "secret" if annotation is SecretStr else _KINDS[annotation.__name__]


def _comment(text: str) -> Iterator[str]:
    return (f"# {line}" for line in textwrap.wrap(text, 108, break_long_words=False, break_on_hyphens=False))


if __name__ == "__main__":
    main()
