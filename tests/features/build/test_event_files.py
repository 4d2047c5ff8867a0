"""Events in files: the same order and the same parts as in memory, whatever the blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import blocks as block_sizes
from features.blocks import blocks
from features.build import event_files
from features.build.event_files import EventFiles, distinct_of_blocks, in_order, only
from features.interactions import canonical_order

ROWS = st.lists(
    st.tuples(
        st.integers(-3, 4), st.integers(0, 5), st.integers(-1, 5), st.integers(0, 3), st.integers(0, 2),
        st.one_of(st.integers(0, 30), st.sampled_from([-(2**62), 2**62])),
    ),
    max_size=60,
)  # fmt: skip
KINDS = {"user": "i4", "item": "i4", "kind": "i1", "value": "f4", "session": "i8", "time": "i8"}


def columns_of(rows: list[tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(KINDS.items())}


@given(rows=ROWS, block=st.integers(1, 7), at_once=st.integers(1, 20))
def test_the_order_is_that_of_all_at_once(rows: list[tuple[int, ...]], block: int, at_once: int) -> None:
    columns = columns_of(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_sizes, "BLOCK", block)
        patch.setattr(event_files, "SORTED_AT_ONCE", at_once)
        found = in_order(columns, None)
    order = canonical_order(columns)
    for name, column in columns.items():
        wanted = column if order is None else column[order]
        assert found[name].dtype == column.dtype
        assert found[name].tolist() == wanted.tolist()


@given(rows=ROWS, block=st.integers(1, 7), chance=st.integers(0, 9))
def test_a_part_and_the_distinct_values(rows: list[tuple[int, ...]], block: int, chance: int) -> None:
    columns = columns_of(rows)
    kept = np.random.default_rng(chance).random(len(rows)) < 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_sizes, "BLOCK", block)
        found = only(columns, kept, None)
        ids = distinct_of_blocks(columns["user"])
    assert all(found[name].tolist() == column[kept].tolist() for name, column in columns.items() if found)
    assert ids.tolist() == np.unique(columns["user"]).tolist()


def test_files_grow_are_written_to_and_leave_nothing(tmp_path: Path) -> None:
    files = EventFiles(tmp_path)
    files.add({"a": np.array([1, 2], np.int32), "b": np.empty(0, np.int8)})
    files.add({"a": np.array([3], np.int32), "b": np.empty(0, np.int8)})
    columns = files.columns()
    columns["a"][0] = 7
    assert columns["a"].tolist() == [7, 2, 3]
    assert columns["b"].dtype == np.int8
    assert columns["b"].size == 0
    assert list(tmp_path.iterdir()) == []
    assert [part.stop for part in blocks(0)] == []
