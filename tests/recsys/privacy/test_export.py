"""What an export holds in memory: a few rows of a table at a time, however many the person has."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.errors import NotFound
from recsys.privacy import export
from recsys.privacy import person as people
from recsys.privacy.places import job_logs
from recsys.privacy.places.tables import ROWS_AT_ONCE, TABLE_PLACES, TablePlace
from tests.support.shop import Shop
from tests.training.shops import fill_shop

EVENTS, RUNS, USER = 5_000, 300, 7


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each answer of PostgreSQL brought into this process at once."""
    sizes: list[int] = []

    def counts(cursor: type[Any], name: str) -> None:
        whole = getattr(cursor, name)

        def fetches(self: Any, *given: Any) -> Any:
            rows = whole(self, *given)
            sizes.append(len(rows))
            return rows

        monkeypatch.setattr(cursor, name, fetches)

    for cursor in (psycopg.Cursor, psycopg.ServerCursor):
        for name in ("fetchall", "fetchmany"):
            counts(cursor, name)
    return sizes


@pytest.fixture
def busy_user(shop: Shop) -> Shop:
    """A user with many interactions, in a shop with many logs of jobs."""
    fill_shop()
    with unit_of_work() as session:
        session.execute(
            text(
                "INSERT INTO recommendations_db.user_interactions (user_id, product_id, interaction_type, "
                "interaction_value, created_at) "
                "SELECT :user, 1 + i % 40, 'view', 1, :now - i * interval '1 min' "
                "FROM generate_series(1, :events) i"
            ),
            {"user": USER, "events": EVENTS, "now": clock.now()},
        )
        session.execute(
            text(
                "INSERT INTO analytics_db.job_runs (job, arguments, state, cause, due_at, log) "
                "SELECT 'train', '{train}', 'done', 'person', :now, "
                "CASE WHEN i % 100 = 0 THEN 'mail to u7@example.org failed' ELSE 'nothing' END "
                "FROM generate_series(1, :runs) i"
            ),
            {"runs": RUNS, "now": clock.now()},
        )
    return shop


def written() -> dict[str, Any]:
    target = io.BytesIO()
    export.write_zip(USER, target)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def test_a_few_rows_are_in_memory_and_all_are_written(busy_user: Shop, fetched: list[int]) -> None:
    files = written()
    interactions = files["tables/recommendations_db.user_interactions.json"]
    assert len(interactions) >= EVENTS
    assert len({row["id"] for row in interactions}) == len(interactions)
    assert len(files["tables/analytics_db.job_runs-log.json"]) == RUNS // 100
    index = files.pop(export.INDEX_FILE)
    assert index["files"] == {name: len(rows) for name, rows in files.items()}
    assert sum(fetched) > EVENTS
    assert max(fetched) <= ROWS_AT_ONCE


def test_each_row_is_written_before_the_next_is_read(
    busy_user: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead: list[int] = []
    read = 0
    rows, dump = TablePlace.rows, export._json

    def reads(self: TablePlace, *given: Any) -> Iterator[dict[str, Any]]:
        nonlocal read
        for row in rows(self, *given):
            read += 1
            yield row

    def dumps(content: object) -> bytes:
        nonlocal read
        ahead.append(read)
        read = 0
        return dump(content)

    monkeypatch.setattr(TablePlace, "rows", reads)
    monkeypatch.setattr(export, "_json", dumps)
    written()
    assert sum(ahead) > EVENTS
    assert max(ahead) == 1


def test_the_logs_of_jobs_are_read_a_few_at_a_time_and_cleaned(busy_user: Shop, fetched: list[int]) -> None:

    with unit_of_work() as session:
        person = people.find(session, USER)
        fetched.clear()
        assert job_logs.erase(session, person) == RUNS // 100
        assert max(fetched) <= job_logs.LOGS_AT_ONCE
        assert list(job_logs.rows(session, person)) == []


def test_a_place_is_read_as_it_is_counted(busy_user: Shop) -> None:

    with unit_of_work() as session:
        person = people.find(session, USER)
        for place in TABLE_PLACES:
            if place.is_exported:
                assert sum(1 for _ in place.rows(session, person)) == place.count(session, person)


def test_nothing_is_left_of_an_export_that_fails(busy_user: Shop) -> None:
    with pytest.raises(NotFound), export.spooled_zip(999_999):
        pass
