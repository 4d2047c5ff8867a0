"""Numbers in addresses: ASCII digits alone, so that `1_000`, `01` and `+1` are no other spellings of one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args

from fastapi import Request
from fastapi.dependencies.models import Dependant

from recsys.errors import Invalid

__all__ = ["plain_numbers_only", "with_dependencies"]

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class _NumericParameters:
    """The forms that a route's numeric parameters must have, by name."""

    path: Mapping[str, re.Pattern[str]]
    query: Mapping[str, re.Pattern[str]]


# by the id of the route, which is kept beside: routes have no hash
_parameters: dict[int, tuple[Any, _NumericParameters]] = {}


# asynchronous, so that it takes no thread
async def plain_numbers_only(request: Request) -> None:
    """A dependency of the application that refuses numbers in other spellings.

    Text that is no number in any spelling is left to the route, which decides first who may ask.

    Raises
    ------
    Invalid
        A number is not in plain decimal digits.
    """
    route = request.scope["route"]
    stored = _parameters.get(id(route))
    if stored is None:
        stored = _parameters[id(route)] = route, _numeric_parameters(route.dependant)
    numeric = stored[1]
    for name, form in numeric.path.items():
        _check(name, request.path_params.get(name, ""), form)
    if numeric.query and request.scope["query_string"]:
        for name, value in request.query_params.multi_items():
            if name in numeric.query:
                _check(name, value, numeric.query[name])


def _check(name: str, value: object, form: re.Pattern[str]) -> None:
    if isinstance(value, str) and not form.fullmatch(value) and _is_number(value):
        kind = "a whole number" if form is _INTEGER else "a number"
        raise Invalid(f"{name} is not {kind} in plain decimal digits, such as 1000.", field=name)


def _is_number(text: str) -> bool:
    """Whether a parser reads `text` as a finite number; `float` reads every spelling that `int` does."""
    try:
        return abs(float(text)) != float("inf")
    except ValueError:
        return False


def _numeric_parameters(dependant: Dependant) -> _NumericParameters:
    path: dict[str, re.Pattern[str]] = {}
    query: dict[str, re.Pattern[str]] = {}
    for each in with_dependencies(dependant):
        for fields, forms in ((each.path_params, path), (each.query_params, query)):
            for field in fields:
                types = set(_leaves(field.field_info.annotation))
                if float in types or Decimal in types:
                    forms[field.alias] = _NUMBER
                elif int in types:
                    forms[field.alias] = _INTEGER
    return _NumericParameters(path, query)


def with_dependencies(dependant: Dependant) -> Iterator[Dependant]:
    """Yield the parameters of a route and of everything that it depends on."""
    yield dependant
    for each in dependant.dependencies:
        yield from with_dependencies(each)


def _leaves(annotation: Any) -> Iterator[Any]:
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    for argument in arguments:
        yield from _leaves(argument)
