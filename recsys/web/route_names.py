"""What log and metrics call a request: its route's template, even when it was answered before routing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from starlette.applications import Starlette
from starlette.routing import Mount, compile_path
from starlette.types import Scope

__all__ = ["UNMATCHED", "name_of"]

UNMATCHED = "unmatched"
"""No route has this address: names of nobody's making must not become labels."""
Template = tuple[re.Pattern[str], str, frozenset[str]]
_templates: WeakKeyDictionary[Starlette, list[Template]] = WeakKeyDictionary()


def name_of(scope: Scope) -> str:
    """The template of the route that took the request, or would have, had nothing refused it before.

    Only what was refused is looked up, in some ten microseconds.
    """
    route = scope.get("route")
    if route is not None:
        return getattr(route, "path", UNMATCHED)
    # the router was asked, or there is none
    if "router" in scope or "app" not in scope:
        return UNMATCHED
    app = scope["app"]
    templates = _templates.get(app)
    if templates is None:
        templates = _templates[app] = [_template(one) for one in _flat(app.routes)]
    return _first(templates, scope["path"], scope["method"])


def _first(templates: Iterable[Template], path: str, method: str) -> str:
    """As a router decides: the first that has the method, else the first that has the address."""
    other_method = UNMATCHED
    for pattern, template, methods in templates:
        if pattern.match(path):
            if not methods or method in methods:
                return template
            if other_method == UNMATCHED:
                other_method = template
    return other_method


def _flat(routes: Iterable[Any]) -> Iterator[Any]:
    """Each route by itself: FastAPI keeps those of an included router behind one."""
    for route in routes:
        if hasattr(route, "effective_route_contexts"):
            yield from route.effective_route_contexts()
        elif hasattr(route, "path"):
            yield route


def _template(route: Any) -> Template:
    path: str = route.path
    pattern, _, _ = compile_path(path.rstrip("/") + "/{path:path}" if isinstance(route, Mount) else path)
    return pattern, path, frozenset(getattr(route, "methods", None) or ())
