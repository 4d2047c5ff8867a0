"""Parts of work that all workers get an equal share of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.shared import parallel
from models.shared.parallel import even_parts


@given(count=st.integers(0, 400), most=st.integers(1, 60), workers=st.integers(1, 8))
def test_parts_cover_everything_once_and_are_of_one_length(count: int, most: int, workers: int) -> None:
    before = parallel.WORKERS
    parallel.WORKERS = workers
    try:
        parts = even_parts(count, most)
    finally:
        parallel.WORKERS = before
    assert [row for part in parts for row in part.tolist()] == list(range(count))
    sizes = [part.size for part in parts]
    assert not sizes or (min(sizes) > 0 and max(sizes) <= min(most, min(sizes) + 1))
    assert len(parts) <= 1 or len(parts) % workers == 0 or len(parts) == count


def test_what_fits_into_one_part_is_not_divided() -> None:
    assert [part.size for part in even_parts(60, 60)] == [60]
    assert even_parts(0, 60) == []
