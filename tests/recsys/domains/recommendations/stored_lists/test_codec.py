"""The bytes of a stored list: they come back as they were, and damage is noticed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import (
    Entry,
    StoredList,
    encode,
    entries_arrays,
    entries_of_records,
    pack,
    pack_entries,
    relabelled,
    select,
    strictly_decreasing,
    unpack,
    unpack_entries,
)
from recsys.errors import Invalid
from tests.recsys.domains.recommendations.stored_lists.entries import ENTRIES, ID

LISTS = st.builds(
    StoredList,
    generation=ID,
    model=st.text(max_size=60),
    version=st.text(max_size=20),
    entries=st.lists(ENTRIES, max_size=120),
    made_at=st.integers(0, 2**32 - 1),
    new=st.lists(ENTRIES, max_size=60),
)


@given(stored=LISTS, generation=st.integers(1, 2**31 - 1))
def test_lists_of_another_generation_are_otherwise_the_same(stored: StoredList, generation: int) -> None:
    data = relabelled(pack(stored), generation)
    assert unpack(data) == replace(stored, generation=generation)
    assert relabelled(data, stored.generation) == pack(stored)


@given(LISTS)
def test_a_list_comes_back_as_it_was(stored: StoredList) -> None:
    packed = pack(stored)
    assert unpack(packed) == stored
    names = len(stored.model.encode()) + len(stored.version.encode())
    assert len(packed) == 19 + names + 11 * (len(stored.entries) + len(stored.new))
    any_, new = entries_arrays(packed)
    assert any_["product"].tolist() == [one.product for one in stored.entries]
    assert new["score"].tolist() == [one.score for one in stored.new]


@given(LISTS, st.data())
def test_a_list_that_was_cut_is_refused(stored: StoredList, data: st.DataObject) -> None:
    packed = pack(stored)
    with pytest.raises(Invalid):
        unpack(packed[: data.draw(st.integers(0, len(packed) - 1))])


@given(LISTS, st.data())
def test_a_flipped_bit_is_refused(stored: StoredList, data: st.DataObject) -> None:
    packed = bytearray(pack(stored))
    bit = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Invalid, match="recsys serve score"):
        unpack(bytes(packed))


@given(st.lists(st.integers(0, 10_000), max_size=300))
def test_scores_are_made_strict_and_change_no_more_than_that_takes(given_: list[int]) -> None:
    units = sorted(given_, reverse=True)
    found = strictly_decreasing(units).tolist()
    assert all(one > other for one, other in pairwise(found))
    assert all(len(found) - place <= score <= 10_000 for place, score in enumerate(found, 1))
    assert strictly_decreasing(found).tolist() == found
    # each as near as its neighbours leave it: as it was, one below the one before, or the least of its place
    before = 10_001
    for place, (unit, score) in enumerate(zip(units, found, strict=True), 1):
        assert score in {unit, before - 1, len(found) - place}
        before = score


@given(st.lists(ENTRIES, max_size=20))
def test_columns_become_the_same_entries(entries: list[Entry]) -> None:
    columns = list(zip(*entries, strict=True)) or [()] * 7
    products, scores, kinds, reasons, evidence = (np.array(one, dtype=np.int64) for one in columns[:5])
    novel, bought = (np.array(one, dtype=np.bool_) for one in columns[5:])
    records = encode(products, scores, kinds, reasons, evidence, novel, bought)
    assert list(entries_of_records(records)) == entries


@given(LISTS, st.integers(1, 7))
def test_chosen_entries_are_the_same_packed_and_not(stored: StoredList, divisor: int) -> None:
    def choose(products: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return products % divisor == 0

    expected = [entry for entry in stored.entries if entry.product % divisor == 0]
    assert select(stored.entries, choose) == expected
    packed = unpack(pack(stored)).entries
    assert list(select(packed, choose)) == expected
    assert pack_entries(select(packed, choose)) == pack_entries(expected)


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
