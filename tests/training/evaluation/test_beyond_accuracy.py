"""Figures beyond accuracy: answers worked out by hand, and each definition written out one list at a time."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from tests.support.servers import ROOT
from training.evaluation.beyond_accuracy import (
    diversity_category,
    diversity_content,
    exposures,
    gini,
    mean_of_places,
    miscalibration,
    per_user_quality,
    summed_hits,
)
from training.evaluation.item_stats import ItemStatistics

KS = (1, 2, 4)


def _facts(**other: object) -> ItemStatistics:
    """Four products: 0 and 1 of category a, 2 of b, 3 of none."""
    plain: dict[str, object] = {
        "users": 8,
        "information": np.array([1.0, 2.0, 3.0, 3.0]),
        "group": np.array([0, 1, 2, 2], np.int8),
        "category": np.array([0, 0, 1, 2], np.int32),
        "genre": np.array([0, 0, 1, -1], np.int32),
        "genres": ["a", "b"],
        "vectors": np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32),
        "price": np.array([10.0, 20.0, np.nan, 5.0]),
        "stock": np.array([1.0, 0.0, np.nan, np.inf], np.float32),
        "margin": np.array([6.0, np.nan, np.nan, -1.0]),
        "active": np.ones(4, dtype=bool),
    }
    return ItemStatistics(**(plain | other))  # type: ignore[arg-type]


COLUMNS = np.array([[0, 1, 2, 3], [2, 0, -1, -1], [-1, -1, -1, -1]])
HITS = np.array([[True, False, True, True], [False, True, False, False], [False] * 4])
BOUGHT = sparse.csr_matrix(np.array([[2, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=np.float32))
PAST = sparse.csr_matrix(np.array([[1, 0, 3, 0], [2, 0, 0, 0], [1, 1, 1, 1]], dtype=np.float32))
NAN = float("nan")


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("novelty", [[1, 1.5, 9 / 4], [3, 2, 2], [NAN] * 3]),
        ("popularity_share", [[1, 0.5, 0.25], [0, 0.5, 0.5], [NAN] * 3]),
        # the third product's stock is unknown: it is left out
        ("in_stock", [[1, 0.5, 2 / 3], [NAN, 1, 1], [NAN] * 3]),
        # four products of categories a, a, b, none: one pair of six is of one category
        ("diversity_category", [[NAN, 0, 5 / 6], [NAN, 1, 1], [NAN] * 3]),
        # likenesses of the six pairs: 1, 0, .6, 0, .6, .8
        ("diversity_content", [[NAN, 0, 1 - 3.0 / 6], [NAN, 1, 1], [NAN] * 3]),
        # the third hit has no price, the second user's hit was no purchase
        ("revenue", [[10, 10, 15], [0, 0, 0], [0, 0, 0]]),
        ("margin", [[6, 6, 5], [0, 0, 0], [0, 0, 0]]),
    ],
)
def test_known_answers(metric: str, expected: list[list[float]]) -> None:
    found, unknown = per_user_quality(COLUMNS, HITS, BOUGHT, PAST, _facts(), KS)
    assert unknown == {}
    assert found[metric] == pytest.approx(np.array(expected), abs=1e-6, nan_ok=True)


def test_known_distance_from_the_users_categories() -> None:
    found, _ = per_user_quality(COLUMNS, HITS, BOUGHT, PAST, _facts(), KS)
    # past: a quarter a, the rest b. Places 1 and 2 are a; of all four two are a, one b and one neither
    one = 0.25 * math.log(0.25 / (0.99 + 0.0025)) + 0.75 * math.log(0.75 / 0.0075)
    four = sum(p * math.log(p / (0.99 * q + 0.01 * p)) for p, q in ((0.25, 2 / 3), (0.75, 1 / 3)))
    assert found["miscalibration"][0] == pytest.approx([one, one, four], abs=1e-12)
    assert np.isnan(found["miscalibration"][2]).all()
    equal = miscalibration(
        np.array([0, 1], np.int32), 2, sparse.csr_matrix([[1.0, 1.0]]), np.array([[0, 1]]), (2,)
    )
    assert equal[0, 0] == pytest.approx(0.0, abs=1e-12)


def test_what_cannot_be_known_is_named() -> None:
    bare = _facts(
        price=np.full(4, np.nan),
        stock=np.full(4, np.nan, np.float32),
        margin=None,
        genres=[],
        vectors=np.zeros((4, 1), np.float32),
    )
    found, unknown = per_user_quality(COLUMNS, HITS, BOUGHT, PAST, bare, KS)
    assert set(found) == {"novelty", "popularity_share"}
    assert set(unknown) == {
        "revenue",
        "margin",
        "in_stock",
        "miscalibration",
        "diversity_category",
        "diversity_content",
    }
    with pytest.raises(ValueError, match="rise"):
        per_user_quality(COLUMNS, HITS, BOUGHT, PAST, bare, (2, 1))


def test_exposure_and_gini() -> None:
    shown = exposures(np.array([[0, 1], [0, 2], [0, -1]]), 4, (1, 2))
    assert shown.tolist() == [[3, 0, 0, 0], [3, 1, 1, 0]]
    assert gini(shown[0]) == pytest.approx(1.0)  # one product has everything
    assert gini(np.array([5, 5, 5])) == pytest.approx(0.0)
    # rising 0, 1, 1, 3: (−3·0 − 1·1 + 1·1 + 3·3) / (3 · 5)
    assert gini(shown[1]) == pytest.approx(9 / 15)
    assert math.isnan(gini(np.zeros(3, np.int64)))


@st.composite
def _lists(draw: st.DrawFn) -> npt.NDArray[np.int64]:
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        filled = draw(st.lists(st.integers(0, 8), max_size=6, unique=True))
        rows.append(filled + [-1] * (6 - len(filled)))
    return np.array(rows, dtype=np.int64)


@given(_lists(), st.integers(0, 2**32 - 1))
def test_equal_to_the_definitions_pair_by_pair(columns: npt.NDArray[np.int64], seed: int) -> None:
    rng = np.random.default_rng(seed)
    category = rng.integers(0, 3, 9).astype(np.int32)
    vectors = rng.standard_normal((9, 4)).astype(np.float32)
    of_item = np.where(rng.random(9) < 0.2, np.nan, rng.random(9))
    ks = (1, 3, 6)
    by_category = diversity_category(category, columns, ks)
    by_content = diversity_content(vectors, columns, ks)
    means = mean_of_places(of_item, columns, ks)
    for i, row in enumerate(columns.tolist()):
        for j, k in enumerate(ks):
            items = [item for item in row[:k] if item >= 0]
            pairs = list(itertools.combinations(items, 2))
            if not pairs:
                assert np.isnan(by_category[i, j])
                assert np.isnan(by_content[i, j])
            else:
                apart = np.mean([category[a] != category[b] for a, b in pairs])
                assert by_category[i, j] == pytest.approx(apart, abs=1e-12)
                unlike = np.mean([1 - float(vectors[a] @ vectors[b]) for a, b in pairs])
                assert by_content[i, j] == pytest.approx(unlike, abs=1e-4)
            known = [of_item[item] for item in items if not np.isnan(of_item[item])]
            assert means[i, j] == pytest.approx(np.mean(known) if known else NAN, nan_ok=True)


def test_money_counts_each_hit_once_whatever_the_quantity() -> None:
    columns, hits = np.array([[1, 0]]), np.array([[True, False]])
    worth = np.array([7.0, 3.0])
    many = sparse.csr_matrix(np.array([[0.0, 15_000.0]], dtype=np.float32))
    assert summed_hits(worth, many, hits, columns, (1, 2)).tolist() == [[3.0, 3.0]]


def test_every_process_sees_the_same_content() -> None:
    seen = set()
    for seed in ("1", "2"):
        answer = subprocess.run(
            [sys.executable, "-c", _LIKENESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        seen.add(answer.stdout)
    assert len(seen) == 1
    assert float(seen.pop()) != 0


_LIKENESS = """
from dataclasses import replace
from tests.training.shops import dataset_of
from training.evaluation.item_stats import WIDTH, describe
data = dataset_of([(1, product, 1.0, "purchase") for product in range(1, 41)])
texts = [" ".join(f"word{(7 * i + j) % (4 * WIDTH)}" for j in range(WIDTH // 4)) for i in range(40)]
vectors = describe(replace(data, item_features=replace(data.item_features, text=texts)), None).vectors
assert vectors.shape[1] == WIDTH
print(repr(float(vectors[0] @ vectors[1])))
"""
