"""Requests that wait together are stored together; each gets its own outcome."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.database.absence import DatabaseAway
from recsys.domains.recommendations.tables import SCHEMA
from recsys.errors import NotFound
from recsys.write_buffer import group_commit
from recsys.write_buffer.deadlines import Deadline
from recsys.write_buffer.group_commit import GroupCommit
from tests.support.shop import Shop

REQUESTS = 24


class Store:
    """Stores numbers as categories; the first transaction waits until `gate` is open."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate, self.entered = threading.Event(), threading.Event()

    def __call__(self, session: Session, numbers: Sequence[int]) -> list[int | Exception]:
        self.sizes.append(len(numbers))
        self.entered.set()
        assert self.gate.wait(60)
        for number in numbers:
            # a number that does not fit is an error of PostgreSQL, which ends the transaction of all
            session.execute(
                text("INSERT INTO products_db.categories (id, name, slug) VALUES (:id, :name, :name)"),
                {"id": number, "name": f"c{number}"},
            )
        return [NotFound(f"{number}") if number % 7 == 0 else number for number in numbers]


def stored(shop: Shop) -> set[int]:
    with shop.connect() as connection:
        return {row[0] for row in connection.execute("SELECT id FROM products_db.categories")}


def deadline(seconds: float) -> Deadline:
    return Deadline(Deadline.of_post().at + seconds)


def send_all(store: Store, numbers: Sequence[int]) -> list[int | Exception | None]:
    """Send each number by a thread, all while the first transaction runs; the outcome of each."""
    group = GroupCommit(store)
    with ThreadPoolExecutor(len(numbers)) as threads:
        first = threads.submit(group.store, numbers[0], deadline(60))
        assert store.entered.wait(60)
        rest = [threads.submit(group.store, number, deadline(60)) for number in numbers[1:]]
        while len(group._waiting) < len(rest):
            assert not any(each.done() for each in rest)
        store.gate.set()
        return [each.exception() or each.result() for each in (first, *rest)]


@pytest.fixture
def one_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction at a time, so that what waits is known."""
    monkeypatch.setattr(group_commit, "_LEADERS", 1)


@pytest.mark.usefixtures("one_leader")
def test_requests_that_wait_share_a_transaction_and_each_has_its_own_outcome(shop: Shop) -> None:
    store = Store()
    numbers = list(range(1, REQUESTS + 1))
    outcomes = send_all(store, numbers)
    assert store.sizes == [1, REQUESTS - 1]
    assert [str(each) for each in outcomes] == [str(number) for number in numbers]
    assert [isinstance(each, NotFound) for each in outcomes] == [number % 7 == 0 for number in numbers]
    assert stored(shop) == set(numbers)


@pytest.mark.usefixtures("one_leader")
def test_a_request_that_breaks_the_transaction_breaks_its_own_alone(shop: Shop) -> None:
    too_large = 2**31
    store = Store()
    numbers = [1, 2, 3, too_large, 4, 5]
    outcomes = send_all(store, numbers)
    assert [isinstance(each, Exception) for each in outcomes] == [number == too_large for number in numbers]
    assert stored(shop) == {1, 2, 3, 4, 5}
    assert store.sizes == [1, 5, 1, 1, 1, 1, 1]


@pytest.mark.usefixtures("one_leader")
def test_what_is_past_its_deadline_before_its_turn_is_not_stored(shop: Shop) -> None:
    store = Store()
    group = GroupCommit(store)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(group.store, 1, deadline(60))
        assert store.entered.wait(60)
        with pytest.raises(DatabaseAway):
            group.store(2, Deadline(0.0))
        store.gate.set()
        assert first.result() == 1
    assert group.store(3, deadline(60)) == 3
    assert stored(shop) == {1, 3}


def test_a_missing_outcome_fails_its_request_and_stores_nothing(shop: Shop) -> None:
    def store_some(session: Session, numbers: Sequence[int]) -> list[int | Exception]:
        open_store(session, numbers)
        return []

    open_store = Store()
    open_store.gate.set()
    with pytest.raises(RuntimeError, match="0 outcomes for 1 requests"):
        GroupCommit(store_some).store(1, deadline(60))
    assert stored(shop) == set()


def test_concurrent_posts_are_stored_once_and_have_their_own_verdicts(
    core_client: httpx.Client, small_shop: Shop
) -> None:
    def post(number: int) -> tuple[int, str]:
        body = {
            "user_id": 1,
            "product_id": 1 if number % 2 else 10_000,
            "interaction_type": "view",
            "event_id": f"e{number}",
        }
        answer = core_client.post("/api/v1/interactions", json=body)
        verdicts = answer.json()["verdicts"]
        assert [verdict["index"] for verdict in verdicts] == [0]
        return answer.status_code, verdicts[0]["status"]

    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(post, range(64)))
    assert outcomes == [(200, "stored") if number % 2 else (422, "refused") for number in range(64)]
    with small_shop.connect() as connection:
        counted = connection.execute(f"SELECT count(*) FROM {SCHEMA}.user_interactions").fetchone()  # noqa: S608
    assert counted == (32,)
    again = list(map(post, range(1, 64, 2)))
    assert again == [(200, "duplicate")] * 32
