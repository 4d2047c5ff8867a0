"""The idempotent insert: of all rows with one event id the first is stored, whatever came before."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import DataError

from recsys.database.insert_once import EventRow, insert_once
from recsys.database.session import unit_of_work
from recsys.domains.analytics.tables import CollectedEvent, UserEvent
from tests.support.shop import Shop

BATCHES = st.lists(st.lists(st.integers(0, 6), max_size=6), min_size=1, max_size=4)


def row(event: int, label: str) -> EventRow:
    values = {
        "event_type": "x",
        "event_label": label,
        "event_value": None,
        "properties": {"label": [label, 1]},
        "ip_address": None,
    }
    return EventRow(UUID(int=event), values)


def test_the_first_row_of_each_event_id_is_stored(shop: Shop) -> None:
    # hypothesis calls it many times, with one database: event ids of one example are its own
    examples = iter(range(1, 10_000))

    @settings(max_examples=30, deadline=None)
    @given(BATCHES)
    def holds(batches: list[list[int]]) -> None:
        base = next(examples) * 1000
        first: dict[int, str] = {}
        for number, batch in enumerate(batches):
            labels = [f"{number}-{place}" for place in range(len(batch))]
            expected = {}
            for place, event in enumerate(batch):
                if event not in first:
                    first[event] = labels[place]
                    expected[place] = event
            with unit_of_work() as session:
                rows = [row(base + event, label) for event, label in zip(batch, labels, strict=True)]
                assert insert_once(session, UserEvent, CollectedEvent, rows).keys() == expected.keys()
        with unit_of_work() as session:
            query = select(CollectedEvent.event_id, UserEvent.event_label, UserEvent.properties).join(
                UserEvent, UserEvent.id == CollectedEvent.user_event_id
            )
            stored = session.execute(query.where(CollectedEvent.event_id >= UUID(int=base))).all()
        assert {(key.int - base, label) for key, label, _ in stored} == set(first.items())
        assert all(properties == {"label": [label, 1]} for _, label, properties in stored)

    holds()


def test_a_value_that_is_too_long_is_refused_and_not_cut(shop: Shop) -> None:
    with pytest.raises(DataError, match="too long"), unit_of_work() as session:
        insert_once(session, UserEvent, CollectedEvent, [row(1, "x" * 256)])
