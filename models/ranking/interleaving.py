"""Interleaving: one list of two models' lists, and what a success at each of its places says of the models.

For each place a coin decides which model, or team, adds its best product that is not listed yet. What a
success counts is one of two credits:

- `team_draft`: 1 for the team that added the product (Radlinski, Kurup & Joachims 2008, "How does
  clickthrough data reflect retrieval quality?", CIKM, section 3.2). Places come in rounds of two, in which
  each team has one and the coin decides who is first.
- `optimised`: by how many places the challenger ranks the product higher than the control, as a part of the
  list's length: the linear rank difference of Radlinski & Craswell (2013), "Optimized interleaving for
  online retrieval evaluation", WSDM. A product that both rank alike counts nothing, where a coin decides
  about its team. Each place has a coin of its own, which makes all lists that the paper allows.

Both are centred: from the credit of a place is subtracted its expectation over the coins. Who clicks on
places whatever they have then prefers neither model, which is the paper's condition of an unbiased
comparison. The paper chooses the probabilities of the lists so that it holds, by a linear program for each
request; here the coins stay fair and the expectation, which is exact and takes less than a millisecond, is
subtracted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["METHODS", "InterleavedPlaces", "InterleavingMethod", "interleave"]

InterleavingMethod = Literal["optimised", "team_draft"]
METHODS: tuple[InterleavingMethod, ...] = ("optimised", "team_draft")
CONTROL, CHALLENGER = 0, 1


@dataclass(frozen=True)
class InterleavedPlaces:
    """The places of an interleaved list.

    Attributes
    ----------
    products
        In their order.
    teams
        Who added each, 0 the control and 1 the challenger.
    chances
        Of each place, the probability of its product given those above it.
    credits
        What a success at each place counts for the challenger; below 0 for the control.
    """

    products: list[int]
    teams: list[int]
    chances: list[float]
    credits: list[float]


def interleave(
    control: Sequence[int],
    challenger: Sequence[int],
    size: int,
    *,
    method: InterleavingMethod,
    generator: np.random.Generator,
) -> InterleavedPlaces:
    """Interleave two ranked lists.

    Parameters
    ----------
    control, challenger
        Products of each, best first, none twice. Where one has no more, the other goes on.
    size
        Places at most.
    method
        What the credits are.
    generator
        Tosses the coins.
    """
    lists = _Lists(control, challenger)
    size = min(size, lists.different)
    is_draft = method == "team_draft"
    coins = generator.integers(2, size=(size + 1) // 2 if is_draft else size).tolist()
    listed, products, teams, chances = 0, list[int](), list[int](), list[float]()
    first_is_known = False
    for place in range(size):
        is_second = is_draft and place % 2 == 1
        own, other = lists.next_of(CONTROL, listed), lists.next_of(CHALLENGER, listed)
        is_open = own != other and own is not None and other is not None
        team = coins[place // 2] ^ is_second if is_draft else coins[place]
        product = other if team == CHALLENGER else own
        if product is None:
            team = 1 - team
            product = own if product is other else other
        assert product is not None
        # the team of a second place is decided as soon as the first place shows who was first
        chances.append(0.5 if is_open and not (is_second and first_is_known) else 1.0)
        first_is_known = is_open and not is_second
        products.append(product)
        teams.append(team)
        listed |= lists.bit[product]
    credit = _TeamCredit() if is_draft else _RankCredit(lists, size)
    expected = _expected_credits(lists, size, credit, places_of_a_coin=2 if is_draft else 1)
    return InterleavedPlaces(
        products,
        teams,
        chances,
        [
            credit.of(product, team) - mean
            for product, team, mean in zip(products, teams, expected, strict=True)
        ],
    )


class _Lists:
    """Both lists, with a bit for each product, so that a set of products is a number."""

    def __init__(self, control: Sequence[int], challenger: Sequence[int]) -> None:
        self.of = (control, challenger)
        self.bit = {
            product: 1 << number for number, product in enumerate(dict.fromkeys([*control, *challenger]))
        }
        self._bits = tuple([self.bit[product] for product in ranked] for ranked in self.of)

    @property
    def different(self) -> int:
        return len(self.bit)

    def next_of(self, team: int, listed: int) -> int | None:
        """The team's best product that is not listed; None where it has no more."""
        for place, bit in enumerate(self._bits[team]):
            if not bit & listed:
                return self.of[team][place]
        return None


class _TeamCredit:
    def of(self, product: int, team: int) -> float:
        return 1.0 if team == CHALLENGER else -1.0


class _RankCredit:
    """How many places higher the challenger has a product, as a part of the list; behind its end is last."""

    def __init__(self, lists: _Lists, size: int) -> None:
        control, challenger = (
            {product: rank for rank, product in enumerate(ranked[:size])} for ranked in lists.of
        )
        self._credits = {
            product: (control.get(product, size) - challenger.get(product, size)) / size
            for product in lists.bit
        }

    def of(self, product: int, team: int) -> float:
        return self._credits[product]


def _expected_credits(
    lists: _Lists, size: int, credit: _TeamCredit | _RankCredit, *, places_of_a_coin: int
) -> list[float]:
    """The mean credit of each place over all coins.

    Coin by coin over the sets of products that may be listed by then: products added in another order make
    the same set, so there are few.
    """
    expected = [0.0] * size
    sets = {0: 1.0}
    for place in range(0, size, places_of_a_coin):
        after: defaultdict[int, float] = defaultdict(float)
        for listed, chance in sets.items():
            for first in (CONTROL, CHALLENGER):
                grown = listed
                for offset, wanted in enumerate((first, 1 - first)[: min(places_of_a_coin, size - place)]):
                    team, product = wanted, lists.next_of(wanted, grown)
                    if product is None:
                        team, product = 1 - wanted, lists.next_of(1 - wanted, grown)
                    assert product is not None
                    expected[place + offset] += 0.5 * chance * credit.of(product, team)
                    grown |= lists.bit[product]
                after[grown] += 0.5 * chance
        sets = after
    return expected
