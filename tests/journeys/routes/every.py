"""The routes of the whole application, each with an address that it handles."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.routing import compile_path

from recsys.web.route_names import all_routes

__all__ = ["NAMED", "Route", "routes_of"]

PREFIXES = ("/api/", "/gorse/api/", "/health/", "/metrics", "/recsys.", "/openapi.json")
NAMED = {
    "name": "popular", "placement": "similar", "username": "u1", "user": "u1", "item": "sku7",
    "category": "Lamps", "feedback_type": "read", "day": "2026-01-01", "gateway": "sandbox",
    "key_prefix": "cu6goudg",
    "version": "0f3c9a1b2d4e5f60",
}  # fmt: skip
"""Values of path parameters that are no number."""


@dataclass(frozen=True)
class Route:
    """A route with an address that it handles."""

    template: str
    path: str
    methods: frozenset[str]

    def matches(self, path: str) -> bool:
        """Whether an address is one of this route's."""
        return compile_path(self.template)[0].match(path) is not None


def routes_of(app: FastAPI) -> list[Route]:
    """Every route of the API, of health and of the scripts; not of pages."""
    found: dict[str, set[str]] = {}
    for route in all_routes(app.routes):
        if route.path.startswith(PREFIXES):
            found.setdefault(route.path, set()).update(route.methods or ())

    def filled(match: re.Match[str]) -> str:
        return NAMED.get(match[1].partition(":")[0], "1")

    return [
        Route(template, re.sub(r"{([^}]+)}", filled, template), frozenset(methods) - {"HEAD", "OPTIONS"})
        for template, methods in found.items()
    ]
