"""Parameters of a query that a route does not know: refused rather than overlooked."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant

from recsys.errors import Invalid

__all__ = ["known_parameters_only"]


# asynchronous for nothing but to need no thread
async def known_parameters_only(request: Request) -> None:
    """A dependency of routes. Raises Invalid for a parameter that the route does not declare."""
    given = request.query_params.keys()
    if not given:
        return
    known = set(_declared(request.scope["route"].dependant))
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(sorted(known)) or 'none'}."
            raise Invalid(f"There is no parameter of that name. {hint}", field=name[:50])


def _declared(dependant: Dependant) -> Iterator[str]:
    for parameter in dependant.query_params:
        yield parameter.alias
    for other in dependant.dependencies:
        yield from _declared(other)
