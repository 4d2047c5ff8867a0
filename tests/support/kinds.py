"""The kind of a test, from its place and its fixtures: unit, integration or e2e."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["kind_of"]

SERVERS = frozenset(
    {"servers", "durable_var", "fresh_var", "own_var", "own_servers", "s3_server", "search_engines"}
)
"""Fixtures that start a server."""
WHOLE = ("tests/journeys/", "tests/notebooks/", "tests/recsys/test_demo.py")
"""Places of the tests that walk through the whole service."""

STARTING = ("tests/recsys/embedded/",)
"""Places of tests that start servers themselves, without a fixture."""


def kind_of(nodeid: str, fixtures: Collection[str]) -> str:
    """The marker of a test."""
    if nodeid.startswith(WHOLE):
        return "e2e"
    needs_servers = nodeid.startswith(STARTING) or not SERVERS.isdisjoint(fixtures)
    return "integration" if needs_servers else "unit"
