"""However a list of events is split into files and batches, each event is stored once."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.recsys.imports.desk import HEADER, Desk

EVENT = st.tuples(
    st.sampled_from(["ann", "bob", ""]),
    st.sampled_from(["tea", "mug"]),
    st.sampled_from(["view", "purchase"]),
    st.integers(0, 3),
    st.sampled_from(["", "1", "2.50"]),
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENT, min_size=1, max_size=12), cuts=st.lists(st.integers(0, 12), max_size=2))
def test_each_event_is_stored_once(
    desk: Desk, events: list[tuple[str, str, str, int, str]], cuts: list[int]
) -> None:
    before = desk.number("recommendations_db.user_interactions")
    lines = [
        f"{user},{product},{kind},2024-03-0{day + 1},{value},s,run{before}-{number},\n"
        for number, (user, product, kind, day, value) in enumerate(events)
    ]
    # overlapping files: each begins before the last one ended
    ends = [*sorted(min(cut, len(lines)) for cut in cuts), len(lines)]
    starts = [0, *(max(0, end - 2) for end in ends[:-1])]
    for start, end in zip(starts, ends, strict=True):
        desk.take(interactions=HEADER + "".join(lines[start:end]), create_missing=True)
    assert desk.number("recommendations_db.user_interactions") == before + len(events)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENT, min_size=1, max_size=12), more=st.integers(0, 12))
def test_a_growing_file_without_event_ids_adds_its_tail(
    desk: Desk, events: list[tuple[str, str, str, int, str]], more: int
) -> None:
    before = desk.number("recommendations_db.user_interactions")
    lines = [
        f"{user},{product},{kind},2024-03-0{day + 1},{value},session{before},,\n"
        for user, product, kind, day, value in events
    ]
    for end in (min(more, len(lines)), len(lines), len(lines)):
        desk.take(interactions=HEADER + "".join(lines[:end]), create_missing=True)
    assert desk.number("recommendations_db.user_interactions") == before + len(events)
