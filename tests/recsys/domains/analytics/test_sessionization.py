"""Visits are the same whatever order their pages and events came in, and those a shop would draw by hand."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.analytics.event_store import Visitor
from recsys.domains.analytics.service import _read, _store
from tests.recsys.domains.analytics.conftest import BROWSER, page, visits_of

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
Done = tuple[int, bool]


def collect(session: Session, visitor: Visitor, batch: list[dict[str, Any]] | dict[str, Any]) -> None:
    """Store a batch in this session, as a request does in one of its own."""
    assert visitor.session_id is not None
    items, refused = _read(visitor.session_id, batch if isinstance(batch, list) else [batch])
    assert not refused
    _store(session, visitor, items)


def item(one: Done, place: int) -> dict[str, Any]:
    moment = NOON - timedelta(seconds=one[0])
    if one[1]:
        return page(str(place), moment)
    return {"type": "event", "event_id": str(place), "event_type": "x", "timestamp": moment.isoformat()}


def by_hand(visitor: str, done: list[Done]) -> list[tuple[Any, ...]]:
    """Sort what was done, and cut where nothing was done for more than half an hour."""
    visits: list[list[tuple[datetime, bool]]] = []
    for moment, is_page in sorted((NOON - timedelta(seconds=ago), is_page) for ago, is_page in done):
        if not visits or moment - visits[-1][-1][0] > timedelta(minutes=30):
            visits.append([])
        visits[-1].append((moment, is_page))
    return [
        (
            visitor if number == 1 else f"{visitor} {number}",
            visit[0][0],
            visit[-1][0],
            int((visit[-1][0] - visit[0][0]).total_seconds()),
            sum(is_page for _, is_page in visit),
            sum(not is_page for _, is_page in visit),
            len(visit) == 1 and visit[0][1],
        )
        for number, visit in enumerate(visits, start=1)
    ]


def stored(session: Session, visitor: str) -> list[tuple[Any, ...]]:
    columns = ("session_id", "start_time", "end_time", "duration_seconds", "page_views", "events", "bounce")
    return [
        tuple(visit[column] for column in columns)
        for visit in visits_of(session)
        if visit["session_id"].split(" ")[0] == visitor
    ]


# seconds ago: close to the half hour that parts visits, so that late ones join, extend and part them
moments = st.integers(0, 8).flatmap(
    lambda half: st.integers(-2, 2).map(lambda off: max(0, half * 1800 + off))
)
batches = st.lists(
    st.lists(st.tuples(moments, st.booleans()), min_size=1, max_size=4), min_size=1, max_size=6
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches, batches)
def test_visits_are_those_drawn_by_hand_after_each_batch(
    session: Session, mine: list[list[Done]], others: list[list[Done]]
) -> None:
    every: dict[str, list[Done]] = {"me": [], "you": []}
    with clock.frozen_at(NOON), session.begin_nested() as example:
        for pair in zip(mine, others, strict=False):
            for visitor, batch in zip(every, pair, strict=True):
                first = len(every[visitor])
                every[visitor] += batch
                collect(session, Visitor(visitor), [item(one, first + n) for n, one in enumerate(batch)])
                assert stored(session, visitor) == by_hand(visitor, every[visitor])
        example.rollback()


def send(session: Session, minutes_ago: int, url: str, **others: Any) -> None:
    visitor = Visitor(others.pop("visitor", "v"), others.pop("user_id", None), others.pop("agent", BROWSER))
    with clock.frozen_at(NOON):
        collect(
            session, visitor, page(f"{minutes_ago}", NOON - timedelta(minutes=minutes_ago), url, **others)
        )


def test_half_an_hour_is_still_the_same_visit_and_a_moment_more_is_another(session: Session) -> None:
    for minutes in (90, 60, 29):
        send(session, minutes, "/")
    assert [(one["session_id"], one["page_views"], one["bounce"]) for one in visits_of(session)] == [
        ("v", 2, False), ("v 2", 1, True),
    ]  # fmt: skip
    send(session, 45, "/late")
    (joined,) = visits_of(session)
    assert (joined["session_id"], joined["page_views"], joined["duration_seconds"]) == ("v", 4, 61 * 60)


def test_a_campaign_and_referrer_are_those_a_visit_began_with_even_when_they_come_late(
    session: Session,
) -> None:
    send(session, 10, "/second?utm_source=b&utm_campaign=b", referrer_url="https://shop.example/first")
    send(session, 5, "/third?utm_source=c")
    send(
        session, 12, "/first?utm_source=a&utm_medium=email", referrer_url="https://mail.example/", agent="odd"
    )
    (visit,) = visits_of(session)
    assert (visit["utm_source"], visit["utm_medium"], visit["utm_campaign"]) == ("a", "email", None)
    assert visit["referrer"] == "https://mail.example/"
    # the program is the first one's too: it says nothing
    assert (visit["browser"], visit["device_type"]) == (None, None)


def test_a_visit_belongs_to_who_was_logged_in_last(session: Session) -> None:
    session.execute(
        text(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "SELECT i, 'u' || i, 'u' || i, 'U', 'x' FROM generate_series(901, 902) i"
        )
    )
    send(session, 10, "/", user_id=901)
    send(session, 5, "/")
    assert visits_of(session)[0]["user_id"] == 901
    send(session, 3, "/", user_id=902)
    assert visits_of(session)[0]["user_id"] == 902


def test_the_longest_session_has_visits_with_names_that_fit(session: Session) -> None:
    long = "s" * 255
    for minutes in (90, 10):
        send(session, minutes, "/", visitor=long)
    names = [one["session_id"] for one in visits_of(session)]
    base = hashlib.sha256(long.encode()).hexdigest()
    assert names == [base, f"{base} 2"]
