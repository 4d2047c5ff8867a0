"""IdMap: ids in, rows out, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import ids as module
from features.ids import IdMap, distinct

IDS = st.lists(st.integers(-(2**40), 2**40), max_size=50)
SMALL = st.lists(st.integers(-30, 30), max_size=50)


@given(IDS, IDS)
def test_rows_are_positions_and_unknown_ids_are_minus_one(known: list[int], asked: list[int]) -> None:
    ids = IdMap.of(known)
    rows = ids.index(asked)
    assert ids.ids.tolist() == sorted(set(known))
    assert rows.dtype == np.int64
    assert rows.tolist() == [sorted(set(known)).index(i) if i in known else -1 for i in asked]
    assert [i in ids for i in asked] == [i in known for i in asked]


@given(SMALL, SMALL)
def test_the_direct_table_answers_like_the_search(known: list[int], asked: list[int]) -> None:
    ids = IdMap.of(known)
    searched = ids.index(asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TABLE_FROM", 1)
        for dtype in (np.int32, np.int64):
            many = np.array(asked * 60, dtype)
            assert ids.index(many).tolist() == searched.tolist() * 60


@pytest.mark.parametrize("wrong", [[2, 1], [1, 1], [[1, 2]], [1.5], ["a"]])
def test_what_is_no_sorted_set_of_integers_is_refused(wrong: list[object]) -> None:
    with pytest.raises(ValueError, match=r"ids|increasing"):
        IdMap(wrong)  # type: ignore[arg-type]


def test_equal_by_content_of_any_shape_and_not_writable() -> None:
    ids = IdMap([3, 5])
    assert ids == IdMap(np.array([3, 5], np.int32))
    assert ids != IdMap([3])
    assert ids != [3, 5]
    assert ids.index([[5, 3], [4, 5]]).tolist() == [[1, 0], [-1, 1]]
    assert int(ids.index(5)) == 1
    with pytest.raises(ValueError, match="integers"):
        ids.index([5.0])
    with pytest.raises(ValueError, match="read-only"):
        ids.ids[0] = 1


@given(values=st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 9)))
def test_each_integer_once_as_numpy_has_it(values: list[int]) -> None:
    array = np.array(values, dtype=np.int64)
    assert distinct(array).tolist() == np.unique(array).tolist()
