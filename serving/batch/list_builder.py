"""Some users' finished lists at once, one for each question: ranked, filtered, filled and explained.

Each question has its own list, in the model's order from the first place to the last. Nothing is ever sorted
by scores of different questions: "how likely is this taken" and "how likely is this new product taken" are
said on different scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from features.build.builder import weights_of
from features.interactions import History
from features.user_history import histories
from models.ranking.novelty_lists import recommend_both
from models.results import Ranking
from recsys.domains.recommendations.reasons import Kind, evidence_reasons
from recsys.domains.recommendations.stored_lists.codec import (
    Entry,
    encode,
    entries_of_records,
    strictly_decreasing,
)
from recsys.settings import ServingSettings, get_settings
from serving.batch.interaction_index import Touches, among, keys_of
from serving.catalogue.catalogue import Catalogue
from serving.ranking.eligibility import Novelty, excluded_by_repeat_policy
from serving.ranking.popularity import PopularProducts
from serving.state.active_model import LoadedModel

__all__ = ["Batch", "Lists"]

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
FIRST_LOOK = 256
"""So many popular products are looked at first for a list that is short."""


@dataclass(frozen=True)
class Lists:
    """A user's finished lists, each in its order."""

    any: Sequence[Entry]
    new: Sequence[Entry]


@dataclass(frozen=True, eq=False)
class _Barred:
    """What these users must not be shown for a question, as sorted keys (user, product)."""

    keys: Ids
    more_than_model: Ids
    """int64 (users,): how many of them the model, asked for this question, may still rank."""


class Batch:
    """Some users, asked both questions in one pass."""

    def __init__(
        self,
        loaded: LoadedModel,
        catalogue: Catalogue,
        popular: PopularProducts,
        settings: ServingSettings,
        users: Ids,
        *,
        fold_in: bool = False,
    ) -> None:
        """`fold_in`: by what PostgreSQL knows of them now, also those whom the model remembers."""
        self.fold_in = fold_in
        self.loaded, self.catalogue, self.popular = loaded, catalogue, popular
        self.users = users
        self.sizes = {Novelty.ANY: settings.stored_per_user, Novelty.NEW: settings.stored_new_per_user}
        self.filled = 0

    def lists(self, connection: psycopg.Connection[Any]) -> dict[int, Lists]:
        """The finished lists of each user."""
        touches = Touches.read(connection, self.users)
        known = (self.loaded.model.users_.index(self.users) >= 0) & (not self.fold_in)
        finished: dict[int, Lists] = {}
        for users, folded_in in ((self.users[known], False), (self.users[~known], True)):
            if users.size:
                told = self._histories(connection, users) if folded_in else None
                finished |= self._finish(users, told, touches)
        return {user: finished[user] for user in self.users.tolist()}

    def _histories(self, connection: psycopg.Connection[Any], users: Ids) -> list[History]:
        return histories(connection, users.tolist(), weights_of(get_settings()), self.loaded.model.moment_)

    def _finish(self, users: Ids, told: list[History] | None, touches: Touches) -> dict[int, Lists]:
        barred = {question: self._barred(question, users, told, touches) for question in Novelty}
        chosen = self._choose(users, told, barred)
        # one look for the evidence of both lists, side by side
        both = Ranking(
            users,
            np.hstack([chosen[question].products for question in Novelty]),
            np.hstack([chosen[question].scores for question in Novelty]),
        )
        evidence = np.split(self.loaded.model.evidence(both, told), [self.sizes[Novelty.ANY]], axis=1)
        short = np.zeros(users.size, dtype=bool)
        packed = []
        for question, because in zip(Novelty, evidence, strict=True):
            found = chosen[question]
            short |= (found.products < 0).any(axis=1)
            filled = self._fill(found.products, users, barred[question].keys)
            packed.append(self._records(question, found, because, filled, touches))
        self.filled += int(short.sum())
        return {
            user: Lists(*(_listed(records[row]) for records in packed))
            for row, user in enumerate(users.tolist())
        }

    def _barred(self, question: Novelty, users: Ids, told: list[History] | None, touches: Touches) -> _Barred:
        if question is Novelty.NEW:
            keys, left_out = touches.touched, self._left_out(users, told)
        else:
            bought = touches.bought
            no_repeat = excluded_by_repeat_policy(self.catalogue, bought & 0xFFFFFFFF)
            keys, left_out = np.union1d(bought[no_repeat], touches.dismissed), np.empty(0, dtype=np.int64)
        open_to_model = keys[~among(keys, left_out)]
        first = np.searchsorted(open_to_model, users << 32)
        last = np.searchsorted(open_to_model, (users + 1) << 32)
        return _Barred(keys, last - first)

    def _left_out(self, users: Ids, told: list[History] | None) -> Ids:
        """What the model itself takes for seen, as sorted keys."""
        if told is not None:
            owner = np.repeat(users, [one.products.size for one in told])
            products = np.concatenate([one.products for one in told])
        else:
            model = self.loaded.model
            seen = model.history_[model.users_.index(users)]
            owner, products = np.repeat(users, np.diff(seen.indptr)), model.items_.ids[seen.indices]
        return np.sort(keys_of(owner, products))

    def _choose(
        self, users: Ids, told: list[History] | None, barred: dict[Novelty, _Barred]
    ) -> dict[Novelty, Ranking]:
        """The model's ranking of what may be shown, as long as the stored list is, -1 where it ends.

        Each user's list is asked for with as many more places as the filter can take away, so that it is full
        wherever the model has enough to say.
        """
        chosen = {
            question: Ranking(
                users,
                np.full((users.size, size), -1, dtype=np.int64),
                np.full((users.size, size), -np.inf, dtype=np.float32),
            )
            for question, size in self.sizes.items()
        }
        # who has much that is barred is asked apart, or everybody's list would be as long
        room = np.stack([_room(barred[question].more_than_model) for question in chosen], axis=1)
        for more in np.unique(room, axis=0):
            rows = np.flatnonzero((room == more).all(axis=1))
            lengths = [
                self._most(size + int(extra)) for size, extra in zip(self.sizes.values(), more, strict=True)
            ]
            found = recommend_both(
                self.loaded.model,
                users[rows],
                *lengths,
                histories=None if told is None else [told[row] for row in rows.tolist()],
                only=self.catalogue.shown_ids,
            )
            for question, ranking in zip(chosen, found, strict=True):
                best = _usable(ranking, users[rows], barred[question].keys, self.sizes[question])
                chosen[question].products[rows], chosen[question].scores[rows] = best
        return chosen

    def _most(self, k: int) -> int:
        """No longer than what the model knows, unless the stored list is."""
        return min(k, max(*self.sizes.values(), len(self.loaded.model.items_)))

    def _fill(self, products: Ids, users: Ids, barred: Ids) -> Ids:
        """For each empty place of the lists the next popular product that the user may be shown.

        Rows of the popular order, int64, the shape of `products`; -1 elsewhere, and where none is left.
        """
        filled = np.full(products.shape, -1, dtype=np.int64)
        order = self.popular.order(self.catalogue)[0]
        order = np.flatnonzero(self.catalogue.shown[order])
        looked = FIRST_LOOK
        rows = np.flatnonzero((products < 0).any(axis=1))
        while rows.size:
            ids = self.catalogue.ids[self.popular.order(self.catalogue)[0][order[:looked]]]
            keys = keys_of(users[rows, None], ids)
            listed = np.sort(keys_of(users[rows, None], products[rows])[products[rows] >= 0])
            open_ = ~among(keys, barred) & ~among(keys, listed)
            missing = (products[rows] < 0).sum(axis=1)
            enough = (open_.sum(axis=1) >= missing) | (looked >= order.size)
            for row, usable, wanted in zip(rows[enough], open_[enough], missing[enough], strict=True):
                found = order[:looked][usable][:wanted]
                start = products.shape[1] - wanted
                filled[row, start : start + found.size] = found
            rows = rows[~enough]
            looked *= 8
        return filled

    def _records(
        self, question: Novelty, found: Ranking, because: Ids, filled: Ids, touches: Touches
    ) -> npt.NDArray[Any]:
        """Both parts of the lists as records; product 0 where a list ends."""
        loaded, users, of_model = self.loaded, found.queries[:, None], found.products >= 0
        order, shares = self.popular.order(self.catalogue)
        popular = filled >= 0
        products = np.where(of_model, found.products, 0)
        products[popular] = self.catalogue.ids[order[filled[popular]]]
        units = np.where(of_model, loaded.units(found.scores, question), 0)
        units[popular] = shares[filled[popular]]
        kinds = np.where(of_model, loaded.kind, Kind.POPULAR)
        was_bought = touches.were_bought(users, because)
        reasons = evidence_reasons(products, because, was_bought, loaded.kind)
        reasons[~of_model] = self.popular.reason
        # the chance that just anybody takes a product says less than the model: it never ranks above it
        scores = _strict(units, (of_model | popular).sum(axis=1))
        return encode(
            products,
            scores,
            kinds,
            reasons,
            np.where(of_model, because, -1),
            ~touches.were_touched(users, products),
            touches.were_bought(users, products),
        )


def _room(count: Ids) -> Ids:
    """At least `count`, in few different sizes."""
    found: Ids = np.maximum(16, 2 ** np.ceil(np.log2(np.maximum(1, count)))).astype(np.int64)
    return found


def _usable(ranking: Ranking, users: Ids, barred: Ids, size: int) -> tuple[Ids, npt.NDArray[np.float32]]:
    """The first `size` products of each row that are not barred, and their scores; in the same order."""
    usable = (ranking.products >= 0) & ~among(keys_of(users[:, None], ranking.products), barred)
    kept = np.argsort(~usable, axis=1, kind="stable")[:, :size]
    there = np.take_along_axis(usable, kept, 1)
    return (
        np.where(there, np.take_along_axis(ranking.products, kept, 1), -1),
        np.where(there, np.take_along_axis(ranking.scores, kept, 1), np.float32(-np.inf)),
    )


def _strict(units: Ids, lengths: Ids) -> Ids:
    """`strictly_decreasing` of each row's first so many entries."""
    found = np.zeros_like(units)
    for length in np.unique(lengths):
        rows = lengths == length
        found[rows, :length] = strictly_decreasing(units[rows, :length])
    return found


def _listed(records: npt.NDArray[Any]) -> Sequence[Entry]:
    return entries_of_records(records[records["product"] > 0])
