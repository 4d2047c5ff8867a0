"""Diversity: known answers, direct implementations as oracles, and invariants of any input."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.merchandising.diversity import DiversityMethod, ProductSimilarity, diversify, dpp, mmr

BOTH = pytest.mark.parametrize("choose", [mmr, dpp])
NO_BRANDS = np.full(4, -1)
FOUR = ProductSimilarity(np.array([1, 1, 2, 2]), NO_BRANDS)
SCORES = [1.0, 0.9, 0.8, 0.7]


def planted(
    seed: int, groups: int, each: int, noise: float = 0.05
) -> tuple[npt.NDArray[Any], ProductSimilarity]:
    """Groups of similar products, each with its own category and vector; the first group scores best."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), each)
    vectors = np.eye(groups)[group] + noise * random.standard_normal((groups * each, groups))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = 1.0 - 0.5 * group / groups - 0.1 * np.tile(np.linspace(0, 1, each), groups) / groups
    return scores, ProductSimilarity(group, np.full(group.size, -1), vectors.astype(np.float32))


@st.composite
def candidates(draw: st.DrawFn) -> tuple[npt.NDArray[Any], ProductSimilarity]:
    count = draw(st.integers(0, 25))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    scores = np.sort(np.round(random.random(count) * draw(st.sampled_from([0, 1])), 2))[::-1]
    vectors = None
    if draw(st.booleans()):
        vectors = random.standard_normal((count, 3)).astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / lengths * (random.random((count, 1)) > 0.2)
    similarity = ProductSimilarity(random.integers(-1, 3, count), random.integers(-1, 3, count), vectors)
    return scores, similarity


def test_the_second_of_a_category_follows_the_first_of_another() -> None:
    # same category: similarity 0.25 / 0.4 = 0.625. After the first: 0.45 - 0.3125 = 0.1375 for the second,
    # 0.4 for the third, 0.35 for the fourth; then 0.1375 against 0.35 - 0.3125 = 0.0375
    assert mmr(SCORES, FOUR, 0.5, 4).tolist() == [0, 2, 1, 3]
    assert mmr(SCORES, FOUR, 0.1, 4).tolist() == [0, 1, 2, 3]
    assert mmr(SCORES, FOUR, 0.5, 2).tolist() == [0, 2]
    # determinants of two: 1 - 0.625² = 0.609; log 0.609 = -0.495: 0.45 - 0.248 = 0.202 against 0.4
    assert dpp(SCORES, FOUR, 0.5, 4).tolist() == [0, 2, 1, 3]
    assert dpp(SCORES, FOUR, 0.1, 4).tolist() == [0, 1, 2, 3]


def test_similarity_weights_content_category_and_brand() -> None:
    vectors = np.array([[1, 0], [1, 0], [-1, 0], [0, 1]], dtype=np.float32)
    similarity = ProductSimilarity(np.array([1, 1, 1, -1]), np.array([-1, -1, 5, 5]), vectors)
    assert similarity.row(0).tolist() == pytest.approx([1.0, 0.85, 0.25, 0.3])
    assert similarity.row(3).tolist() == pytest.approx([0.3, 0.3, 0.45, 1.0])


@settings(max_examples=60)
@given(candidates(), st.floats(0, 1), st.integers(0, 30))
def test_mmr_equals_its_direct_implementation(
    given_: tuple[npt.NDArray[Any], ProductSimilarity], diversity: float, k: int
) -> None:
    scores, similarity = given_
    pairwise_similarities = np.array([similarity.row(i) for i in range(len(similarity))]).reshape(
        len(similarity), len(similarity)
    )
    relevance = scores / scores.max() if scores.size and scores.max() > 0 else scores
    chosen = list(range(min(1, k, len(similarity))))
    while 0 < len(chosen) < min(k, len(similarity)) and diversity > 0:
        left = [i for i in range(len(similarity)) if i not in chosen]
        gain = [
            (1 - diversity) * relevance[i] - diversity * max(pairwise_similarities[i][chosen]) for i in left
        ]
        chosen.append(left[int(np.argmax(gain))])
    if diversity == 0:
        chosen = list(range(min(k, len(similarity))))
    assert mmr(scores, similarity, diversity, k).tolist() == chosen


@settings(max_examples=60)
@given(candidates(), st.floats(0.01, 0.99), st.integers(1, 6))
def test_dpp_chooses_greedily_by_the_determinant(
    given_: tuple[npt.NDArray[Any], ProductSimilarity], diversity: float, k: int
) -> None:
    scores, similarity = given_
    size = len(similarity)
    kernel = np.array([similarity.row(i) for i in range(size)]).reshape(size, size) + 1e-6 * np.eye(size)
    relevance = scores / scores.max() if scores.size and scores.max() > 0 else scores

    def gain(places: list[int]) -> float:
        volume = np.linalg.slogdet(kernel[np.ix_(places, places)]).logabsdet
        return float((1 - diversity) * relevance[places].sum() + diversity * volume)

    chosen = dpp(scores, similarity, diversity, k).tolist()
    for length in range(2, len(chosen) + 1):
        # ties and rounding: the chosen one is as good as the best up to rounding
        best = max(gain([*chosen[: length - 1], i]) for i in range(size) if i not in chosen[: length - 1])
        assert gain(chosen[:length]) == pytest.approx(best, abs=1e-3)


@settings(max_examples=100)
@given(candidates(), st.floats(0, 1), st.integers(0, 30), st.sampled_from(DiversityMethod))
def test_every_order_is_a_permutation_that_keeps_its_first(
    given_: tuple[npt.NDArray[Any], ProductSimilarity], diversity: float, k: int, method: DiversityMethod
) -> None:
    scores, similarity = given_
    order = diversify(scores, similarity, diversity, k, method)
    assert sorted(order.tolist()) == list(range(len(similarity)))
    assert order[:1].tolist() == list(range(min(1, len(similarity))))
    tail = order[k:].tolist()
    assert tail == sorted(tail)
    assert order.tolist() == diversify(scores, similarity, diversity, k, method).tolist()
    assert diversify(scores, similarity, 0.0, k, method).tolist() == list(range(len(similarity)))


def intra_list_distance(similarity: ProductSimilarity, places: npt.NDArray[np.int64]) -> float:
    """The mean of 1 - similarity over all pairs of a list (Ziegler et al. 2005, section 3.2)."""
    pairwise_similarities = sum(float(similarity.row(int(place))[places].sum()) - 1.0 for place in places)
    return 1.0 - pairwise_similarities / (places.size * (places.size - 1))


@BOTH
@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), groups=st.integers(3, 6), each=st.integers(3, 6))
def test_more_diversity_never_makes_lists_more_similar(
    choose: Any, seed: int, groups: int, each: int
) -> None:
    scores, similarity = planted(seed, groups, each, noise=0.0)
    steps = [0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0]
    apart = [intra_list_distance(similarity, choose(scores, similarity, step, groups)) for step in steps]
    assert all(after >= before - 1e-9 for before, after in pairwise(apart)), apart
    assert apart[-1] > apart[0]


@BOTH
def test_high_diversity_lists_every_group_once(choose: Any) -> None:
    scores, similarity = planted(7, 5, 8)
    chosen = choose(scores, similarity, 0.7, 5)
    assert sorted(similarity.category[chosen].tolist()) == [0, 1, 2, 3, 4]
    assert set(similarity.category[choose(scores, similarity, 0.0, 5)].tolist()) == {0}


@BOTH
def test_duplicates_can_follow_when_nothing_else_remains(choose: Any) -> None:
    similarity = ProductSimilarity(
        np.full(4, 1), np.full(4, 1), np.tile(np.array([[1, 0]], dtype=np.float32), (4, 1))
    )
    assert choose([0.4, 0.3, 0.2, 0.1], similarity, 0.5, 4).tolist() == [0, 1, 2, 3]


@BOTH
@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_a_diversity_out_of_range_is_refused(choose: Any, diversity: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        choose(SCORES, FOUR, diversity, 2)
    with pytest.raises(ValueError, match="as many scores"):
        choose(SCORES[:3], FOUR, 0.5, 2)
