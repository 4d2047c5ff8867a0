"""Each test has one of the markers unit, integration and e2e, by its place and its fixtures."""

from __future__ import annotations

import pytest

from tests.support.kinds import kind_of
from tests.support.scheduling import OPENSEARCH, scope_of

MARKERS = {"unit", "integration", "e2e"}


@pytest.mark.parametrize(
    ("nodeid", "fixtures", "kind"),
    [
        ("tests/models/test_factory.py::test_a", (), "unit"),
        ("tests/models/test_factory.py::test_a", ("tmp_path", "monkeypatch"), "unit"),
        ("tests/recsys/cache/test_client.py::test_a", ("redis_client", "servers"), "integration"),
        ("tests/recsys/embedded/test_life.py::test_a", ("durable_var",), "integration"),
        ("tests/journeys/test_purchase.py::test_a", ("counter", "servers"), "e2e"),
        ("tests/journeys/routes/test_openapi.py::test_a", (), "e2e"),
    ],
)
def test_the_kind_follows_from_place_and_fixtures(nodeid: str, fixtures: tuple[str, ...], kind: str) -> None:
    assert kind_of(nodeid, fixtures) == kind


def test_this_test_is_marked_as_one_without_servers(request: pytest.FixtureRequest) -> None:
    assert {marker.name for marker in request.node.iter_markers()} & MARKERS == {"unit"}


def test_one_with_a_session_of_the_database_is_not(request: pytest.FixtureRequest, session: object) -> None:
    assert {marker.name for marker in request.node.iter_markers()} & MARKERS == {"integration"}


def test_every_collected_test_has_exactly_one_kind(request: pytest.FixtureRequest) -> None:
    wrong = [
        item.nodeid
        for item in request.session.items
        if len({marker.name for marker in item.iter_markers()} & MARKERS) != 1
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/a/test_b.py::test_c[x::y]", "tests/a/test_b.py"),
        ("tests/a/test_b.py::Test::test_c", "tests/a/test_b.py"),
        ("tests/a/test_b.py::test_c[elasticsearch]", "tests/a/test_b.py"),
        ("tests/a/test_b.py::test_c[opensearch]", OPENSEARCH),
        ("tests/d/test_e.py::test_f[opensearch-tea-2]", OPENSEARCH),
    ],
    ids=["function", "class", "another engine", "the node", "the node and more"],
)
def test_a_file_is_one_unit_of_work_and_the_search_node_another(nodeid: str, scope: str) -> None:
    assert scope_of(nodeid) == scope


def test_the_tests_of_a_unit_of_work_lie_together_and_those_without_servers_come_last(
    request: pytest.FixtureRequest,
) -> None:
    items = request.session.items
    scopes = [scope_of(item.nodeid) for item in items]
    assert len([i for i in range(len(scopes)) if i == 0 or scopes[i] != scopes[i - 1]]) == len(set(scopes))
    kinds = {scope: set[str]() for scope in scopes}
    for item, scope in zip(items, scopes, strict=True):
        kinds[scope] |= {marker.name for marker in item.iter_markers()} & MARKERS
    alone = [kinds[scope] == {"unit"} for scope in scopes]
    assert alone == sorted(alone)
