"""Interleaved lists against all coins: teams, chances and credits, and who cannot prefer either model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ranking.interleaving import METHODS, InterleavedPlaces, InterleavingMethod, interleave

LISTS = st.lists(st.integers(1, 9), min_size=1, max_size=7, unique=True)
SIZES = st.integers(1, 7)
few = settings(max_examples=60)


class Coins:
    """Tosses what it is given, in the place of a generator."""

    def __init__(self, tossed: Sequence[int]) -> None:
        self.tossed = np.array(tossed)

    def integers(self, _: int, *, size: int) -> np.ndarray:
        """Return the first coins."""
        return self.tossed[:size]


def with_all_coins(
    control: Sequence[int], challenger: Sequence[int], size: int, method: InterleavingMethod
) -> list[InterleavedPlaces]:
    """The list of each sequence of coins, which are equally likely."""
    return [
        interleave(control, challenger, size, method=method, generator=Coins(coins))  # type: ignore[arg-type]
        for coins in product((0, 1), repeat=(size + 1) // 2 if method == "team_draft" else size)
    ]


@pytest.mark.parametrize("method", METHODS)
@few
@given(LISTS, LISTS, SIZES)
def test_each_place_has_the_best_product_that_its_team_has_left(
    method: InterleavingMethod, control: list[int], challenger: list[int], size: int
) -> None:
    for places in with_all_coins(control, challenger, size, method):
        assert len(places.products) == min(size, len({*control, *challenger}))
        assert len(set(places.products)) == len(places.products)
        for place, (chosen, team) in enumerate(zip(places.products, places.teams, strict=True)):
            left = [each for each in (control, challenger)[team] if each not in places.products[:place]]
            assert chosen == left[0]
        # one of each round is of each team, while both have products
        if method == "team_draft" and min(len(control), len(challenger)) >= size:
            for place in range(0, size - 1, 2):
                assert set(places.teams[place : place + 2]) == {0, 1}


@pytest.mark.parametrize("method", METHODS)
@few
@given(LISTS, LISTS, SIZES)
def test_the_chance_of_each_place_is_that_given_the_places_above(
    method: InterleavingMethod, control: list[int], challenger: list[int], size: int
) -> None:
    drawn = with_all_coins(control, challenger, size, method)
    counts: defaultdict[tuple[int, ...], int] = defaultdict(int)
    for places in drawn:
        for place in range(len(places.products) + 1):
            counts[tuple(places.products[:place])] += 1
    for places in drawn:
        for place, chance in enumerate(places.chances):
            above, here = tuple(places.products[:place]), tuple(places.products[: place + 1])
            assert chance == pytest.approx(counts[here] / counts[above])


@pytest.mark.parametrize("method", METHODS)
@few
@given(LISTS, LISTS, SIZES)
def test_who_clicks_whatever_is_there_prefers_neither(
    method: InterleavingMethod, control: list[int], challenger: list[int], size: int
) -> None:
    drawn = with_all_coins(control, challenger, size, method)
    means = np.mean([places.credits for places in drawn], axis=0)
    assert means == pytest.approx(np.zeros(means.size), abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
@few
@given(LISTS, LISTS, SIZES)
def test_exchanged_models_have_the_opposite_credit(
    method: InterleavingMethod, control: list[int], challenger: list[int], size: int
) -> None:
    def scores(one: list[int], other: list[int]) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
        return [
            (tuple(each.products), tuple(np.round(each.credits, 9).tolist()))
            for each in with_all_coins(one, other, size, method)
        ]

    turned = [
        (products, tuple(-credit + 0.0 for credit in credits))
        for products, credits in scores(challenger, control)
    ]
    assert sorted(turned) == sorted(scores(control, challenger))


@few
@given(LISTS, SIZES)
def test_equal_lists_are_shown_as_they_are_and_count_nothing(ranked: list[int], size: int) -> None:
    for places in with_all_coins(ranked, ranked, size, "optimised"):
        assert places.products == ranked[:size]
        assert set(places.credits) <= {0.0}
        assert set(places.chances) <= {1.0}


def test_who_wants_the_product_that_the_challenger_ranks_higher_prefers_it() -> None:
    # team draft cannot tell which of these is better for who wants 3 alone: a coin decides who adds it
    for method, low, high in (("team_draft", -1e-9, 1e-9), ("optimised", 0.01, 1.0)):
        drawn = with_all_coins([1, 2, 3], [2, 3, 1], 3, method)  # type: ignore[arg-type]
        # it is found more often on a higher place
        found = [
            places.credits[places.products.index(3)] / (1 + places.products.index(3)) for places in drawn
        ]
        assert low <= np.mean(found) <= high
