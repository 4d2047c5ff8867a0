"""What is checked of every request before its parameters are validated, such as that all are known."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Depends, Request

from recsys.errors import Invalid
from recsys.own_ids.requests import prepare_own_ids
from recsys.web.numbers import plain_numbers_only, with_dependencies

__all__ = ["REQUEST_CHECKS", "known_parameters_only", "with_prefix"]

Dependency = TypeVar("Dependency", bound=Callable[..., Any])
_prefixes: dict[Callable[..., Any], str] = {}


def with_prefix(prefix: str) -> Callable[[Dependency], Dependency]:
    """Mark a dependency that reads all parameters whose names start with `prefix`."""

    def marked(dependency: Dependency) -> Dependency:
        _prefixes[dependency] = prefix
        return dependency

    return marked


# asynchronous, so that it takes no thread
async def known_parameters_only(request: Request) -> None:
    """A dependency of the application. Raises Invalid for a parameter that the route does not declare."""
    if not request.scope["query_string"]:
        return
    declared = list(with_dependencies(request.scope["route"].dependant))
    names = {parameter.alias for each in declared for parameter in each.query_params}
    prefixes = tuple(_prefixes[each.call] for each in declared if each.call in _prefixes)
    for name in request.query_params:
        if name not in names and not name.startswith(prefixes):
            close_matches = difflib.get_close_matches(name, names, n=1)
            known = ", ".join([*sorted(names), *(f"{prefix}NAME" for prefix in prefixes)])
            hint = f"Did you mean {close_matches[0]}?" if close_matches else f"Known are {known or 'none'}."
            raise Invalid(f"There is no parameter of that name. {hint}", field=name[:50])


REQUEST_CHECKS = (Depends(known_parameters_only), Depends(plain_numbers_only), Depends(prepare_own_ids))
"""The dependencies of every route."""
