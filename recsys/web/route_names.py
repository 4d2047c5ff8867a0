"""The name of a request in logs and metrics: its route's template, also where it was refused earlier."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from starlette.applications import Starlette
from starlette.routing import Mount, compile_path
from starlette.types import Scope

__all__ = ["UNMATCHED", "all_routes", "name_of"]

UNMATCHED = "unmatched"
"""No route has this address: arbitrary paths must not become labels."""
Template = tuple[re.Pattern[str], str, frozenset[str]]
_templates: WeakKeyDictionary[Starlette, list[Template]] = WeakKeyDictionary()


def name_of(scope: Scope) -> str:
    """Return the template of the route that handles the request, or would have if it had not been refused.

    Only refused requests are looked up, which takes about ten microseconds.
    """
    route = scope.get("route")
    if route is not None:
        return getattr(route, "path", UNMATCHED)
    # the router has no route for it, or there is no router
    if "router" in scope or "app" not in scope:
        return UNMATCHED
    app = scope["app"]
    templates = _templates.get(app)
    if templates is None:
        templates = _templates[app] = [_template(each) for each in all_routes(app.routes)]
    return _first(templates, scope["path"], scope["method"])


def _first(templates: Iterable[Template], path: str, method: str) -> str:
    """Return, as a router does, the first with the method, else the first with the path."""
    other_method = UNMATCHED
    for pattern, template, methods in templates:
        if pattern.match(path):
            if not methods or method in methods:
                return template
            if other_method == UNMATCHED:
                other_method = template
    return other_method


def all_routes(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield each route; FastAPI keeps those of an included router behind one route."""
    for route in routes:
        if hasattr(route, "effective_route_contexts"):
            yield from route.effective_route_contexts()
        elif hasattr(route, "path"):
            yield route


def _template(route: Any) -> Template:
    path: str = route.path
    pattern, _, _ = compile_path(path.rstrip("/") + "/{path:path}" if isinstance(route, Mount) else path)
    return pattern, path, frozenset(getattr(route, "methods", None) or ())
