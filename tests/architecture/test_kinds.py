"""Each test has one of the markers unit, integration and e2e, by its place and its fixtures."""

from __future__ import annotations

import pytest

from tests.support.kinds import kind_of

MARKERS = {"unit", "integration", "e2e"}


@pytest.mark.parametrize(
    ("nodeid", "fixtures", "kind"),
    [
        ("tests/models/test_factory.py::test_a", (), "unit"),
        ("tests/models/test_factory.py::test_a", ("tmp_path", "monkeypatch"), "unit"),
        ("tests/recsys/cache/test_client.py::test_a", ("redis_client", "servers"), "integration"),
        ("tests/recsys/embedded/test_life.py::test_a", ("durable_var",), "integration"),
        ("tests/journeys/test_purchase.py::test_a", ("counter", "servers"), "e2e"),
        ("tests/journeys/test_openapi.py::test_a", (), "e2e"),
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
