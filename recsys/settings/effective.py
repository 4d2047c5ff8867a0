"""The settings in effect, each with where its value came from; secrets are never part of it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr
from pydantic_core import to_jsonable_python

from recsys.diagnosis.setting_names import setting_groups
from recsys.settings import Settings, get_settings
from recsys.settings_reference import sections

__all__ = ["EffectiveSetting", "SettingSection", "effective_settings"]

Origin = Literal["environment", ".env file", "default"]
_SECRET = "••••••"


@dataclass(frozen=True)
class EffectiveSetting:
    """One setting.

    Attributes
    ----------
    value
        As the variable would be written; None if it is unset.
    default
        As the variable would be written; None if it is unset.
    """

    variable: str
    value: str | None
    default: str | None
    origin: Origin
    effect: str


@dataclass(frozen=True)
class SettingSection:
    """The settings of one class."""

    title: str
    summary: str
    settings: tuple[EffectiveSetting, ...]


def effective_settings() -> list[SettingSection]:
    """All settings of this process, in the order of the reference."""
    settings = get_settings()
    environment = {name.upper() for name in os.environ}
    file = Settings.model_config.get("env_file")
    in_file = {name.upper() for name in dotenv_values(str(file))} if isinstance(file, str) else set()
    found = []
    for group, section in zip(setting_groups(Settings), sections(), strict=True):
        owner: BaseModel = settings if group.model is Settings else getattr(settings, group.title)
        rows = [
            EffectiveSetting(
                variable=variable.name,
                value=_written(getattr(owner, name)),
                default=variable.default,
                origin="environment"
                if variable.name in environment
                else ".env file"
                if variable.name in in_file
                else "default",
                effect=variable.effect,
            )
            for name, variable in zip(group.fields, section.variables, strict=True)
        ]
        found.append(SettingSection(section.title, section.summary, tuple(rows)))
    return found


def _written(value: Any) -> str | None:
    if value is None or value == ():
        return None
    if _holds_secret(value):
        return _SECRET
    plain = to_jsonable_python(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _holds_secret(value: Any) -> bool:
    if isinstance(value, SecretStr):
        return True
    if isinstance(value, BaseModel):
        return any(_holds_secret(each) for _, each in value)
    if isinstance(value, dict):
        return any(_holds_secret(each) for each in value.values())
    return isinstance(value, tuple | list) and any(_holds_secret(each) for each in value)
