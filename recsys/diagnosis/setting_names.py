"""Names of the environment's variables that are settings, and those that only look like it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from recsys.errors import Invalid

__all__ = [
    "DELIMITER",
    "PREFIX",
    "SettingGroup",
    "describe_faults",
    "refuse_unknown_variables",
    "setting_groups",
    "variable_names",
    "variables_without_json",
]

PREFIX, DELIMITER = "RECSYS_", "__"
_ELSEWHERE = frozenset({"RECSYS_API_KEY"})
"""Variables that a command reads by itself."""


@dataclass(frozen=True)
class SettingGroup:
    """One class of settings: its fields, and what the names of their variables begin with (lower case)."""

    title: str
    model: type[BaseModel]
    fields: Mapping[str, FieldInfo]
    prefix: str

    def variable(self, field: str) -> str:
        """The environment's name of a field."""
        return (self.prefix + field).upper()


@cache
def setting_groups(settings: type[BaseSettings]) -> Sequence[SettingGroup]:
    """The settings of the process itself, then each nested class in its order."""
    own, nested = dict[str, FieldInfo](), list[SettingGroup]()
    for name, field in settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            nested.append(SettingGroup(name, model, model.model_fields, f"{PREFIX}{name}{DELIMITER}"))
        else:
            own[name] = field
    return [SettingGroup("process", settings, own, PREFIX), *nested]


def variable_names(settings: type[BaseSettings]) -> list[str]:
    """Every variable that is a setting, such as RECSYS_API__PORT; sorted."""
    return sorted(group.variable(field) for group in setting_groups(settings) for field in group.fields)


def variables_without_json(settings: type[BaseSettings]) -> list[str]:
    """The variables of lists and tables whose values are no JSON; sorted."""
    given = {name.upper(): value for name, value in (dotenv_values(".env") | os.environ).items()}
    broken = []
    for group in setting_groups(settings):
        for name, field in group.fields.items():
            value = given.get(group.variable(name))
            if value is not None and re.search("dict|tuple|list", str(field.annotation)):
                try:
                    json.loads(value)
                except ValueError:
                    broken.append(group.variable(name))
    return sorted(broken)


def refuse_unknown_variables(settings: type[BaseSettings]) -> None:
    """Raises Invalid for a variable with our prefix that no setting has, naming the nearest one."""
    known = variable_names(settings)
    groups = {name.partition(DELIMITER)[0] for name in known}
    tables = [
        group.variable(name) + DELIMITER
        for group in setting_groups(settings)
        for name, field in group.fields.items()
        if "dict" in str(field.annotation)
    ]
    given = {
        name.upper() for name in (*os.environ, *dotenv_values(".env")) if name.upper().startswith(PREFIX)
    }
    unknown = sorted(
        name
        for name in given - set(known) - groups - _ELSEWHERE
        # a key of a table of settings is judged by pydantic
        if not name.startswith(tuple(tables))
    )
    if unknown:
        near = get_close_matches(unknown[0], known, n=1, cutoff=0.0)[0]
        raise Invalid(
            f"{unknown[0]} is no setting of recsys; the nearest is {near}; every setting is in .env.example"
        )


def describe_faults(error: ValidationError) -> str:
    """The variables and what is wrong with each, without repeating a value."""
    faults = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        name = (
            PREFIX + DELIMITER.join(str(part).upper() for part in fault["loc"])
            if fault["loc"]
            else "settings"
        )
        if fault["type"] == "extra_forbidden":
            faults.append(f"{name} is no setting of recsys; every setting is in .env.example")
            continue
        # a message of our own validators begins with a word of pydantic's that helps nobody
        faults.append(f"{name}: {fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(faults)
