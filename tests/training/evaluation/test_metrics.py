"""Metrics: known answers worked out by hand, invariants, and an independent definition user by user."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from training.evaluation.metrics import METRICS, find_hits, per_user

KS = (1, 2, 3, 5)


def _hits(*rows: str) -> npt.NDArray[np.bool_]:
    return np.array([[letter == "x" for letter in row] for row in rows])


@pytest.mark.parametrize(
    ("metric", "k", "expected"),
    [
        # places 1 and 3 are hits, four products would have been right
        ("precision", 1, 1.0),
        ("precision", 5, 2 / 5),
        ("recall", 3, 2 / 4),
        ("hit_rate", 1, 1.0),
        ("map", 3, (1 / 1 + 2 / 3) / 4),
        ("mrr", 5, 1.0),
        ("ndcg", 2, 1.0 / (1.0 + 1.0 / math.log2(3))),
        ("ndcg", 3, (1.0 + 0.5) / (1.0 + 1.0 / math.log2(3) + 0.5)),
        # the ideal list holds only the four right ones, not five
        ("ndcg", 5, 1.5 / (1.0 + 1.0 / math.log2(3) + 0.5 + 1.0 / math.log2(5))),
    ],
)
def test_known_answers(metric: str, k: int, expected: float) -> None:
    values = per_user(_hits("x.x.."), np.array([4]), KS)[metric]
    assert values[0, KS.index(k)] == pytest.approx(expected, abs=1e-12)


def test_no_hit_is_zero_and_a_perfect_list_is_one() -> None:
    values = per_user(_hits(".....", "xxx.."), np.array([2, 3]), KS)
    assert all((figures[0] == 0).all() for figures in values.values())
    assert (values["ndcg"][1] == 1).all()
    assert values["recall"][1, 2] == values["map"][1, 3] == 1
    assert values["precision"][1].tolist() == [1, 1, 1, 0.6]


def test_first_hit_beyond_k_does_not_count_for_mrr() -> None:
    assert per_user(_hits("..x.."), np.array([1]), KS)["mrr"][0].tolist() == [0, 0, 1 / 3, 1 / 3]


def _naive(row: list[bool], size: int, k: int) -> dict[str, float]:
    """Each definition written out for one user."""
    found = [place for place in range(1, min(k, len(row)) + 1) if row[place - 1]]
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(size, k) + 1))
    return {
        "precision": len(found) / k,
        "recall": len(found) / size,
        "hit_rate": float(bool(found)),
        "mrr": 1 / found[0] if found else 0.0,
        "map": sum(len([p for p in found if p <= place]) / place for place in found) / size,
        "ndcg": sum(1 / math.log2(place + 1) for place in found) / ideal,
    }


@st.composite
def _cases(draw: st.DrawFn) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    users, length = draw(st.integers(1, 6)), draw(st.integers(5, 12))
    rows = draw(
        st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=users, max_size=users)
    )
    hits = np.array(rows)
    more = np.array(draw(st.lists(st.integers(0, 9), min_size=users, max_size=users)))
    return hits, np.maximum(hits.sum(axis=1) + more, 1)


@given(_cases())
def test_equal_to_the_definitions_one_by_one(
    case: tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]],
) -> None:
    hits, sizes = case
    values = per_user(hits, sizes, KS)
    for i, (row, size) in enumerate(zip(hits.tolist(), sizes.tolist(), strict=True)):
        for j, k in enumerate(KS):
            for name, expected in _naive(row, size, k).items():
                assert values[name][i, j] == pytest.approx(expected, abs=1e-12), (name, k)


@given(_cases(), st.randoms(use_true_random=False))
def test_bounds_growth_and_order_of_users(
    case: tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]], random: object
) -> None:
    hits, sizes = case
    values = per_user(hits, sizes, KS)
    for name, figures in values.items():
        assert ((figures >= 0) & (figures <= 1 + 1e-12)).all(), name
    for name in ("recall", "hit_rate", "map", "mrr"):  # longer lists can only add
        assert (np.diff(values[name], axis=1) >= -1e-12).all(), name
    order = np.random.default_rng(0).permutation(len(sizes))
    for name, figures in per_user(hits[order], sizes[order], KS).items():
        assert np.array_equal(figures, values[name][order])


@given(_cases())
def test_moving_a_hit_forward_never_hurts(case: tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]) -> None:
    hits, sizes = case
    better = -np.sort(-hits.astype(np.int8), axis=1) == 1
    for name in METRICS:
        first, then = per_user(hits, sizes, KS)[name], per_user(better, sizes, KS)[name]
        assert (then >= first - 1e-12).all(), name


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.\.5"):
        per_user(_hits("....."), np.array([1]), (6,))
    with pytest.raises(ValueError, match="without any right"):
        per_user(_hits("....."), np.array([0]), (5,))


@given(st.integers(0, 2**32 - 1))
def test_hits_are_found_where_they_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.random((4, 9)) < 0.4
    columns = np.stack([rng.permutation(9)[:6] for _ in range(4)]).astype(np.int64)
    columns[1, 4:] = -1
    expected = [[bool(c >= 0 and right[i, c]) for c in row] for i, row in enumerate(columns.tolist())]
    assert find_hits(columns, sparse.csr_matrix(right)).tolist() == expected
