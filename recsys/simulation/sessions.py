"""What the users of a block do: visits with views, likes, carts, purchases, repeats and reviews."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.simulation.catalogue import EVENTS
from recsys.simulation.truth import PURCHASE_OF_CART, Floats, ShopTruth, cart_chances

__all__ = ["BlockInteractions", "SessionGenerator"]

VIEW, LIKE, CART, PURCHASE, REVIEW = (
    INTERACTION_TYPES.index(name) for name in ("view", "like", "add_to_cart", "purchase", "review")
)
VIEWS_AFTER_THE_FIRST = 2.0
LIKE_OF_CART_CHANCE = 0.3
REVIEW_OF_PURCHASE = 0.05
ACTIVITY_SPREAD = 1.0
PRESENT_AT_START, STAYS = 0.5, 0.4
MOST_REPEATS = 20
PILOT_USERS, PILOT_SESSIONS = 2_048, 4.0
WEIGHTS_AT_ONCE = 4_000_000
"""Weights of (session, category) or (session, product) that are drawn from at once; bounds the memory."""

Ids = npt.NDArray[np.int64]
Moments = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BlockInteractions:
    """The interactions of consecutive users, in the order of time.

    All arrays but `arrival` have the same length, n.

    Attributes
    ----------
    first_user, users
        Number of the first user, from 0, and how many users there are.
    arrival : float64, shape (users,)
        The day on which each user's account was made; 0 for those there before.
    user, product : int64, shape (n,)
        Numbers from 0.
    kind : int8, shape (n,)
        Places in `INTERACTION_TYPES`.
    value : float32, shape (n,)
        The rating of a review, else NaN.
    visit : int64, shape (n,)
        Numbers from 0 within the block.
    day : float64, shape (n,)
        Days since the shop's first day.
    """

    first_user: int
    users: int
    arrival: Moments
    """float64 (users,): the day on which each user's account was made; 0 for those there before."""
    user: Ids
    product: Ids
    kind: npt.NDArray[np.int8]
    value: Floats
    visit: Ids
    day: Moments


class SessionGenerator:
    """Draws the interactions of blocks of users, each from its own seed and so in any order."""

    def __init__(self, truth: ShopTruth) -> None:
        self.truth = truth
        self.parameters = truth.parameters
        days = np.arange(self.parameters.days, dtype=np.float32)
        self._season = np.exp(truth.season(days))
        self._category_of = truth.categories
        self._popularity = truth.category_log_popularity
        pilot = self._draw(0, min(PILOT_USERS, self.parameters.users), PILOT_SESSIONS, [EVENTS, 0])
        per_visit = max(1.0, pilot.kind.size / max(1, np.unique(pilot.visit[pilot.kind == VIEW]).size))
        self._visits_per_user = self.parameters.interactions / (per_visit * self.parameters.users)

    def blocks(self) -> Iterator[BlockInteractions]:
        """Draw all blocks, one at a time."""
        for block in range(self.parameters.blocks):
            yield self.block(block)

    def block(self, block: int) -> BlockInteractions:
        """Draw one block of users."""
        start = block * self.parameters.users_per_block
        size = min(self.parameters.users_per_block, self.parameters.users - start)
        return self._draw(start, size, self._visits_per_user, [EVENTS, 1, block])

    def _draw(self, start: int, size: int, visits_per_user: float, stream: list[int]) -> BlockInteractions:
        draw = np.random.default_rng([self.parameters.seed, *stream])
        days = float(self.parameters.days)
        arrival = np.where(draw.random(size) < PRESENT_AT_START, 0.0, draw.uniform(0, days, size))
        # some users come until the end, others stay away after a while
        leaving = np.where(
            draw.random(size) < STAYS, days, np.minimum(days, arrival + draw.exponential(days / 3, size))
        )
        activity = draw.lognormal(-(ACTIVITY_SPREAD**2) / 2, ACTIVITY_SPREAD, size)
        visits = draw.poisson(visits_per_user * activity)
        owner = np.repeat(np.arange(size), visits)
        moment = draw.uniform(arrival[owner], leaving[owner])
        moment = np.minimum(_at_daytime(moment, draw), days - 1e-3)
        moment = np.maximum(moment, arrival[owner])
        views = 1 + draw.poisson(VIEWS_AFTER_THE_FIRST, owner.size)
        users = self.truth.user_vectors[start : start + size]
        category = self._visit_categories(users, owner, moment, draw)
        visit, product = self._products(users, owner, category, moment, views, draw)
        return self._events(start, arrival, users, owner, moment, visit, product, draw)

    def _visit_categories(self, users: Floats, owner: Ids, moment: Moments, draw: np.random.Generator) -> Ids:
        """One category for each visit, int64 (visits,)."""
        logits = self.parameters.taste * (users @ self.truth.category_vectors.T) + self._popularity
        weights_of_users = np.exp(logits - logits.max(axis=1, keepdims=True))
        chosen = np.empty(owner.size, np.int64)
        uniform = draw.random(owner.size)
        step = max(1, WEIGHTS_AT_ONCE // weights_of_users.shape[1])
        for first in range(0, owner.size, step):
            part = slice(first, first + step)
            weights = weights_of_users[owner[part]] * self._season[moment[part].astype(np.int64)]
            chosen[part] = _draw_columns(weights, np.arange(weights.shape[0]), uniform[part])
        return chosen

    def _products(
        self,
        users: Floats,
        owner: Ids,
        category: Ids,
        moment: Moments,
        views: Ids,
        draw: np.random.Generator,
    ) -> tuple[Ids, Ids]:
        """The visit and the product of each view, int64 (sum of views,), grouped by category."""
        order = np.argsort(category, kind="stable")
        starts = np.searchsorted(category[order], np.arange(self.truth.first_product.size))
        of_visit: list[Ids] = []
        products: list[Ids] = []
        for leaf in np.flatnonzero(np.diff(starts)):
            first, last = self.truth.first_product[leaf : leaf + 2]
            step = max(1, WEIGHTS_AT_ONCE // int(last - first))
            for begin in range(starts[leaf], starts[leaf + 1], step):
                visits = order[begin : min(begin + step, starts[leaf + 1])]
                logits = self.parameters.taste * (
                    users[owner[visits]] @ self.truth.product_vectors[first:last].T
                )
                logits += self.truth.log_popularity[first:last]
                weights = np.exp(logits - logits.max(axis=1, keepdims=True))
                # the first product of a category is always on sale
                weights *= self.truth.released[first:last] <= moment[visits, None]
                row = np.repeat(np.arange(visits.size), views[visits])
                of_visit.append(visits[row])
                products.append(first + _draw_columns(weights, row, draw.random(row.size)))
        empty = np.empty(0, np.int64)
        return np.concatenate([empty, *of_visit]), np.concatenate([empty, *products])

    def _events(
        self,
        start: int,
        arrival: Moments,
        users: Floats,
        owner: Ids,
        moment: Moments,
        visit: Ids,
        product: Ids,
        draw: np.random.Generator,
    ) -> BlockInteractions:
        affinity = np.einsum("ij,ij->i", users[owner[visit]], self.truth.product_vectors[product])
        chance = cart_chances(affinity)
        # views of a visit follow each other at random within a quarter of an hour
        seen_at = moment[visit] + draw.uniform(0, 0.01, visit.size)
        carted = draw.random(visit.size) < chance
        liked = draw.random(visit.size) < LIKE_OF_CART_CHANCE * chance
        bought = np.flatnonzero(carted)[draw.random(int(carted.sum())) < PURCHASE_OF_CART]
        repeat_of, repeat_day = self._repeats(product[bought], seen_at[bought] + 0.02, draw)
        purchases = np.concatenate([bought, bought[repeat_of]])
        purchase_day = np.concatenate([seen_at[bought] + 0.02, repeat_day])
        reviewed = np.flatnonzero(draw.random(purchases.size) < REVIEW_OF_PURCHASE)
        rating = np.clip(np.round(3.2 + 2.5 * (affinity - 0.4) + draw.normal(0, 0.7, visit.size)), 1, 5)
        repeat_visit = int(owner.size) + np.arange(repeat_of.size)
        visit_of_purchase = np.concatenate([visit[bought], repeat_visit])
        parts = (
            (VIEW, np.arange(visit.size), seen_at, visit),
            (LIKE, np.flatnonzero(liked), seen_at[liked] + 0.0005, visit[liked]),
            (CART, np.flatnonzero(carted), seen_at[carted] + 0.001, visit[carted]),
            (PURCHASE, purchases, purchase_day, visit_of_purchase),
            (
                REVIEW,
                purchases[reviewed],
                purchase_day[reviewed] + draw.uniform(3, 14, reviewed.size),
                visit_of_purchase[reviewed],
            ),
        )
        rows = np.concatenate([part[1] for part in parts])
        kind = np.repeat([part[0] for part in parts], [part[1].size for part in parts]).astype(np.int8)
        day = np.concatenate([part[2] for part in parts])
        of_visit = np.concatenate([part[3] for part in parts])
        inside = np.flatnonzero(day < self.parameters.days)
        order = inside[np.argsort(day[inside], kind="stable")]
        rows, kind, day = rows[order], kind[order], day[order]
        value = np.where(kind == REVIEW, rating[rows], np.nan).astype(np.float32)
        return BlockInteractions(
            start, len(arrival), arrival, start + owner[visit[rows]], product[rows], kind, value,
            of_visit[order], day,
        )  # fmt: skip

    def _repeats(self, product: Ids, day: Moments, draw: np.random.Generator) -> tuple[Ids, Moments]:
        """Later purchases of consumable products: the row of the first purchase, and the day, of each."""
        cycle = self.truth.cycle_days[self._category_of[product]].astype(np.float64)
        rows, days = [np.empty(0, np.int64)], [np.empty(0, np.float64)]
        row, last = np.flatnonzero(cycle > 0), day[cycle > 0]
        for _ in range(MOST_REPEATS):
            goes_on = draw.random(row.size) < self.parameters.repeat
            row, last = row[goes_on], last[goes_on]
            last = last + cycle[row] * draw.lognormal(0.0, 0.3, row.size)
            inside = last < self.parameters.days
            row, last = row[inside], last[inside]
            rows.append(row)
            days.append(last)
        return np.concatenate(rows), np.concatenate(days)


def _draw_columns(weights: Floats, row: Ids, uniform: Moments) -> Ids:
    """A column for each draw, with the probabilities of its row of weights.

    Parameters
    ----------
    weights : float32, shape (rows, columns)
        Not negative, the sum of each row above 0.
    row : int64, shape (draws,)
        Ascending.
    uniform : float64, shape (draws,)
        In [0, 1).

    Returns
    -------
    int64, shape (draws,)
        The columns.
    """
    cumulated = np.cumsum(weights, axis=1, dtype=np.float64)
    cumulated /= cumulated[:, -1:]
    columns = cumulated.shape[1]
    # row r lies in (r, r + 1]: one search for the draws of all rows; none may be rounded up to the next row
    uniform = np.minimum(uniform, 1 - 1e-9)
    cumulated += np.arange(cumulated.shape[0])[:, None]
    place = np.searchsorted(cumulated.ravel(), row + uniform, side="right") - row * columns
    chosen: Ids = np.clip(place, 0, columns - 1)
    return chosen


def _at_daytime(moment: Moments, draw: np.random.Generator) -> Moments:
    """The same days, most of them around noon and eight in the evening."""
    evening = draw.random(moment.size) < 0.6
    hour = np.where(evening, draw.normal(20, 2, moment.size), draw.normal(12, 3, moment.size)) % 24
    return np.floor(moment) + hour / 24
