"""The bytes of a stored list: they come back as they were, and damage is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.recommendations.lists import (
    Entry,
    StoredList,
    pack,
    pack_entries,
    unpack,
    unpack_entries,
)
from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.errors import Invalid

ID = st.integers(1, 2**31 - 1)
ENTRIES = st.builds(
    Entry,
    product=ID,
    score=st.integers(0, 10_000),
    kind=st.sampled_from(Kind),
    reason=st.sampled_from(ReasonCode),
    evidence=st.one_of(st.just(-1), ID),
    novel=st.booleans(),
    bought=st.booleans(),
)
LISTS = st.builds(
    StoredList,
    generation=ID,
    model=st.text(max_size=60),
    version=st.text(max_size=20),
    entries=st.lists(ENTRIES, max_size=120),
    made_at=st.integers(0, 2**32 - 1),
)


@given(LISTS)
def test_a_list_comes_back_as_it_was(stored: StoredList) -> None:
    packed = pack(stored)
    assert unpack(packed) == stored
    assert len(packed) == 13 + len(stored.model.encode()) + len(stored.version.encode()) + 11 * len(
        stored.entries
    )


@given(LISTS, st.data())
def test_a_list_that_was_cut_is_refused(stored: StoredList, data: st.DataObject) -> None:
    packed = pack(stored)
    with pytest.raises(Invalid):
        unpack(packed[: data.draw(st.integers(0, len(packed) - 1))])


def test_another_format_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(Invalid, match="recsys serve score"):
        unpack(b"\x01" + pack(StoredList(1, "m", "1", []))[1:])


@given(st.lists(ENTRIES, max_size=20), st.binary(max_size=60))
def test_entries_alone_come_back_and_other_bytes_are_refused_or_read(
    entries: list[Entry], anything: bytes
) -> None:
    assert list(unpack_entries(pack_entries(entries))) == entries
    try:
        found = list(unpack_entries(anything))
    except Invalid:
        return
    assert pack_entries(found) == anything


def test_what_does_not_fit_is_refused() -> None:
    entry = Entry(2**40, 1, Kind.POPULAR, ReasonCode.POPULAR, -1, True)
    with pytest.raises(ValueError, match="fit"):
        pack(StoredList(1, "m", "1", [entry]))
