"""The target policy on logged lists: its chance of what was displayed, and what it would have displayed.

Both policies draw from a ranked list by Plackett–Luce (`models.ranking.plackett_luce`); the target's list is
another one. A product that was not drawn from the candidates (pinned, or one of the bandit's) is fixed: the
target would have displayed it at that place, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LoggedLists", "RewardModel", "TargetLists", "TargetPolicy", "target_policy"]

Ids = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
FOLDS = 5
PRIOR_DISPLAYS = 20.0
"""So many displays with average rewards are added to those of each product."""


@dataclass(frozen=True, eq=False)
class LoggedLists:
    """The first K places of n drawn lists, and the m candidates at most that each was drawn from.

    Attributes
    ----------
    visitors : int64, shape (n,)
        Whose list each is.
    products : int64, shape (n, K)
        Ids; -1 behind the end of a list.
    propensities : float64, shape (n, K)
        The log's chance of each place given those before it, above 0 and at most 1; NaN where it has none, as
        behind the end.
    rewards : float64, shape (n, K)
        What each place earned; 0 behind the end.
    candidates : int64, shape (n, m)
        Ids in the order of the logged list; -1 behind the last.
    """

    visitors: Ids
    products: Ids
    propensities: Values
    rewards: Values
    candidates: Ids

    def __len__(self) -> int:
        return int(self.visitors.size)

    def take(self, rows: npt.NDArray[np.intp]) -> LoggedLists:
        """These lists."""
        return LoggedLists(
            self.visitors[rows], self.products[rows], self.propensities[rows], self.rewards[rows],
            self.candidates[rows],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class TargetLists:
    """What the target ranks for each of n logged lists: int64 (n, m), best first, -1 behind the last."""

    products: Ids
    temperature: float


@dataclass(frozen=True, eq=False)
class TargetPolicy:
    """The target on n logged lists with K places.

    Attributes
    ----------
    ratios : float64, shape (n, K)
        Its chance of the displayed product over the log's, 0 or more; 1 at fixed places.
    fitted, expected : float64, shape (n, K)
        Rewards of the reward model: of the displayed product, and on average over the target's chances; 0 at
        fixed places.
    unsupported : float64, shape (n, K)
        The target's chance of products that the log could not have displayed, 0 to 1.
    """

    ratios: Values
    fitted: Values
    expected: Values
    unsupported: Values


class RewardModel:
    """Expected rewards: the mean of the place times the product's rate beside other products, shrunk to 1.

    A product's rate is (its rewards + p) / (what its places earn on average + p), where p is what
    `PRIOR_DISPLAYS` displays earn. Rewards of a visitor's list are predicted from other visitors alone (five
    folds): a model that has seen them would be too sure.

    Attributes
    ----------
    fold : int64, shape (n,)
        The fold of each list, 0 to 4; all lists of a visitor are in one.
    known : int64, shape (products,)
        Ids of the products that were displayed, ascending.
    places : float64, shape (5, K)
        Mean reward of each place, without the lists of the fold.
    rates : float64, shape (5, products + 1)
        Rates of the products of `known`, without the lists of the fold; the last is that of all others, 1.
    """

    def __init__(self, lists: LoggedLists, *, seed: int) -> None:
        """Fit the model of each fold; `seed` divides the visitors."""
        unique, visitor = np.unique(lists.visitors, return_inverse=True)
        self.fold = np.random.default_rng(seed).integers(0, FOLDS, unique.size)[visitor]
        self.known = np.unique(lists.products[lists.products >= 0])
        displayed = lists.products >= 0
        index = np.searchsorted(self.known, np.where(displayed, lists.products, self.known[:1]))
        self.places = np.zeros((FOLDS, lists.products.shape[1]))
        self.rates = np.ones((FOLDS, self.known.size + 1))
        for fold in range(FOLDS):
            used = displayed & (self.fold != fold)[:, None]
            means = (lists.rewards * used).sum(axis=0) / np.maximum(1, used.sum(axis=0))
            self.places[fold] = means
            prior = PRIOR_DISPLAYS * float((lists.rewards * used).sum()) / max(1, int(used.sum()))
            if prior > 0:
                size = self.known.size
                earned = np.bincount(index[used], weights=lists.rewards[used], minlength=size)
                usual = np.bincount(
                    index[used], weights=np.broadcast_to(means, used.shape)[used], minlength=size
                )
                self.rates[fold, :-1] = (earned + prior) / (usual + prior)

    def rates_of(self, products: Ids, rows: Ids) -> Values:
        """The rates of products (rows, any) in the lists of these rows, float64 of the same shape."""
        index = np.searchsorted(self.known, products)
        index[index == self.known.size] = 0
        index = np.where(self.known[index] == products, index, self.known.size)
        rates: Values = self.rates[self.fold[rows][:, None], index]
        return rates


def target_policy(lists: LoggedLists, target: TargetLists, model: RewardModel) -> TargetPolicy:
    """Follow the target along each logged list, given what was displayed on the places before."""
    shape = lists.products.shape
    ratios, fitted, expected, unsupported = np.ones(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    weights = np.exp(-np.arange(target.products.shape[1]) / target.temperature)
    left = np.where(target.products >= 0, weights, 0.0)
    supported = rows_contain(lists.candidates, target.products)
    is_drawn = rows_contain(lists.candidates, lists.products)
    rows = np.arange(len(lists))
    rates, displayed = model.rates_of(target.products, rows), model.rates_of(lists.products, rows)
    for place in range(shape[1]):
        drawn = is_drawn[:, place]
        total = left.sum(axis=1)
        drawn_by_target = drawn & (total > 0)
        chances = left / np.where(total > 0, total, 1.0)[:, None]
        same = target.products == lists.products[:, place, None]
        chance = np.where(same, chances, 0.0).sum(axis=1)
        ratios[drawn, place] = chance[drawn] / lists.propensities[drawn, place]
        mean = model.places[model.fold, place]
        fitted[drawn, place] = (mean * displayed[:, place])[drawn]
        expected[drawn_by_target, place] = (mean * (chances * rates).sum(axis=1))[drawn_by_target]
        unsupported[drawn_by_target, place] = np.where(supported, 0.0, chances).sum(axis=1)[drawn_by_target]
        left[same] = 0.0
    return TargetPolicy(ratios, fitted, expected, unsupported)


def rows_contain(rows: Ids, values: Ids) -> npt.NDArray[np.bool_]:
    """Whether each value (n, k) is in the same row of `rows` (n, m), bool (n, k); -1 never is."""
    found = np.zeros(values.shape, dtype=bool)
    for row in range(rows.shape[0]):
        found[row] = np.isin(values[row], rows[row])
    return found & (values >= 0)


def padded(rows: Sequence[Ids], width: int) -> Ids:
    """Rows of different lengths as one array (n, width), cut or filled with -1."""
    filled = np.full((len(rows), width), -1, dtype=np.int64)
    for row, values in enumerate(rows):
        filled[row, : min(width, values.size)] = values[:width]
    return filled
