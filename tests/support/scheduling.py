"""How pytest-xdist divides the tests: by file, so that a fixture of a module is made once.

pytest-xdist's own groups (`--dist loadgroup`) have no effect with pytest 9.2: xdist 3.8 writes them into an
attribute of the test that pytest no longer reads, and each worker then started an OpenSearch node of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.kinds import kind_of

__all__ = ["FileScheduling", "longest_first", "scope_of"]

OPENSEARCH = "opensearch"
"""In the ids of all tests that use the OpenSearch node, which takes 25 s of processor time to start."""
SPARK = "test_spark_"
"""In the names of all files whose tests use the session of Apache Spark, which takes 12 s to start."""
_KINDS = ("e2e", "integration", "unit")


def scope_of(nodeid: str) -> str:
    """The unit of work of a test: its file, or all tests of the OpenSearch node, or of Spark, together."""
    if f"/{SPARK}" in nodeid:
        return SPARK
    return OPENSEARCH if f"[{OPENSEARCH}" in nodeid else nodeid.split("::", 1)[0]


class FileScheduling(LoadScopeScheduling):
    """Sends each file to one worker, in the order of collection, and all of OpenSearch or Spark to one."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def longest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests by kind, so that no worker is left alone with the longest files at the end.

    The tests of one file stay together, at the place of the first.
    """
    rank: dict[str, int] = {}
    for item in items:
        kind = kind_of(item.nodeid, getattr(item, "fixturenames", ()))
        scope = scope_of(item.nodeid)
        own = -1 if scope in (OPENSEARCH, SPARK) else _KINDS.index(kind)
        rank[scope] = min(rank.get(scope, own), own)
    place = {scope: (rank[scope], number) for number, scope in enumerate(rank)}
    return sorted(items, key=lambda item: place[scope_of(item.nodeid)])
