"""Names of the environment's variables that are settings, and those that only look like it."""

from __future__ import annotations

import os
from difflib import get_close_matches

from dotenv import dotenv_values
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from recsys.errors import Invalid

__all__ = ["PREFIX", "refuse_unknown_variables", "variable_names"]

PREFIX = "RECSYS_"
_ELSEWHERE = frozenset({"RECSYS_API_KEY"})
"""Variables that a command reads by itself."""


def variable_names(settings: type[BaseSettings]) -> list[str]:
    """Every variable that is a setting, such as RECSYS_API__PORT; sorted."""
    names = set[str]()
    for name, field in settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            names |= {f"{PREFIX}{name}__{own}".upper() for own in group.model_fields}
        else:
            names.add(f"{PREFIX}{name}".upper())
    return sorted(names)


def refuse_unknown_variables(settings: type[BaseSettings]) -> None:
    """Raises Invalid for a variable with our prefix that no setting has, naming the nearest one."""
    known = variable_names(settings)
    groups = {name.partition("__")[0] for name in known}
    given = {
        name.upper() for name in (*os.environ, *dotenv_values(".env")) if name.upper().startswith(PREFIX)
    }
    unknown = sorted(
        name
        for name in given - set(known) - groups - _ELSEWHERE
        # what is nested deeper, or a key of a table of settings, is judged by pydantic
        if not any(name.startswith(f"{each}__") for each in known)
    )
    if unknown:
        near = get_close_matches(unknown[0], known, n=1, cutoff=0.0)[0]
        raise Invalid(
            f"{unknown[0]} is no setting of recsys; the nearest is {near}; every setting is in .env.example"
        )
