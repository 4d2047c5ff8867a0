"""Stored lists of a batch of users, one per novelty: ranked, filtered, completed and explained.

Each novelty has its own list, in the model's order. Scores of different novelties are never compared: "how
likely is this product chosen" and "how likely is this new product chosen" have different scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from features.build.builder import weights_of
from features.ids import distinct
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
from recsys.settings import get_settings
from recsys.settings.serving import ServingSettings
from serving.batch.interaction_index import InteractionIndex, among, keys_of
from serving.batch.packed_columns import read_integers
from serving.catalogue.catalogue import Catalogue
from serving.ranking.eligibility import Novelty, excluded_by_repeat_policy
from serving.ranking.popularity import PopularProducts
from serving.state.active_model import LoadedModel

__all__ = ["UserBatch", "UserLists"]

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
FIRST_POPULAR = 256
"""Popular products that are examined first to complete a short list."""
_NEWER_THAN_MODEL = sql.SQL(
    """
    SELECT given.id FROM unnest(%s::integer[]) AS given (id)
    WHERE EXISTS (
        SELECT FROM recommendations_db.user_interactions i
        WHERE i.user_id = given.id AND i.created_at > timestamptz 'epoch' + %s * interval '1 microsecond')
    """
)


@dataclass(frozen=True)
class UserLists:
    """The finished lists of a user, one per novelty."""

    any: Sequence[Entry]
    new: Sequence[Entry]


@dataclass(frozen=True, eq=False)
class _Excluded:
    """The products that these users' lists must not have, as sorted keys (user, product)."""

    keys: Ids
    extra_per_user: Ids
    """int64 (users,): how many of them the model does not filter out itself."""


class UserBatch:
    """Some users, whose lists of both novelties are built in one pass."""

    def __init__(
        self,
        model: LoadedModel,
        catalogue: Catalogue,
        popular: PopularProducts,
        settings: ServingSettings,
        users: Ids,
        *,
        fold_in: bool = False,
    ) -> None:
        """Take the users, and what their lists are made of.

        Parameters
        ----------
        users : int64, shape (users,)
            Whose lists are built.
        fold_in
            Whether all users are folded in by their present history. Otherwise those are who are not in the
            training data, or did something since its end.
        """
        self.fold_in = fold_in
        self.model, self.catalogue, self.popular = model, catalogue, popular
        self.users = users
        self.sizes = {Novelty.ANY: settings.stored_per_user, Novelty.NEW: settings.stored_new_per_user}
        self.filled = 0

    def lists(self, connection: psycopg.Connection[Any]) -> dict[int, UserLists]:
        """Return the finished lists of each user."""
        interactions = InteractionIndex.read(connection, self.users)
        in_training = self._as_trained(connection)
        finished: dict[int, UserLists] = {}
        for users, folded_in in ((self.users[in_training], False), (self.users[~in_training], True)):
            if users.size:
                user_histories = self._histories(connection, users) if folded_in else None
                finished |= self._finish(users, user_histories, interactions)
        return {user: finished[user] for user in self.users.tolist()}

    def _as_trained(self, connection: psycopg.Connection[Any]) -> Mask:
        """Return whose training data have all that they did; bool (users,)."""
        model = self.model.model
        if self.fold_in:
            return np.zeros(self.users.size, dtype=bool)
        given = [self.users.tolist(), model.moment_]
        (newer,) = read_integers(connection, _NEWER_THAN_MODEL, ["id"], given)
        as_trained: Mask = (model.users_.index(self.users) >= 0) & ~np.isin(self.users, newer)
        return as_trained

    def _histories(self, connection: psycopg.Connection[Any], users: Ids) -> list[History]:
        return histories(connection, users.tolist(), weights_of(get_settings()), self.model.model.moment_)

    def _finish(
        self, users: Ids, user_histories: list[History] | None, interactions: InteractionIndex
    ) -> dict[int, UserLists]:
        excluded = {
            novelty: self._excluded(novelty, users, user_histories, interactions) for novelty in Novelty
        }
        rankings = self._rank(users, user_histories, excluded)
        # the evidence of both lists in one call, side by side
        both = Ranking(
            users,
            np.hstack([rankings[novelty].products for novelty in Novelty]),
            np.hstack([rankings[novelty].scores for novelty in Novelty]),
        )
        evidence = np.split(
            self.model.model.evidence(both, user_histories), [self.sizes[Novelty.ANY]], axis=1
        )
        short = np.zeros(users.size, dtype=bool)
        records_of_lists = []
        for novelty, evidence_products in zip(Novelty, evidence, strict=True):
            ranking = rankings[novelty]
            short |= (ranking.products < 0).any(axis=1)
            popular_ranks = self._fill(ranking.products, users, excluded[novelty].keys)
            records_of_lists.append(
                self._records(novelty, ranking, evidence_products, popular_ranks, interactions)
            )
        self.filled += int(short.sum())
        return {
            user: UserLists(*(_entries_of(records[row]) for records in records_of_lists))
            for row, user in enumerate(users.tolist())
        }

    def _excluded(
        self,
        novelty: Novelty,
        users: Ids,
        user_histories: list[History] | None,
        interactions: InteractionIndex,
    ) -> _Excluded:
        if novelty is Novelty.NEW:
            keys, filtered_by_model = interactions.touched, self._filtered_by_model(users, user_histories)
        else:
            bought = interactions.bought
            no_repeat = excluded_by_repeat_policy(self.catalogue, bought & 0xFFFFFFFF)
            keys, filtered_by_model = (
                distinct(np.concatenate([bought[no_repeat], interactions.dismissed])),
                np.empty(0, dtype=np.int64),
            )
        not_filtered_by_model = keys[~among(keys, filtered_by_model)]
        first = np.searchsorted(not_filtered_by_model, users << 32)
        last = np.searchsorted(not_filtered_by_model, (users + 1) << 32)
        return _Excluded(keys, last - first)

    def _filtered_by_model(self, users: Ids, user_histories: list[History] | None) -> Ids:
        """Return the products that the model takes for seen, as sorted keys."""
        if user_histories is not None:
            owner = np.repeat(users, [history.products.size for history in user_histories])
            products = np.concatenate([history.products for history in user_histories])
        else:
            model = self.model.model
            seen = model.history_[model.users_.index(users)]
            owner, products = np.repeat(users, np.diff(seen.indptr)), model.items_.ids[seen.indices]
        return np.sort(keys_of(owner, products))

    def _rank(
        self, users: Ids, user_histories: list[History] | None, excluded: dict[Novelty, _Excluded]
    ) -> dict[Novelty, Ranking]:
        """Return the model's rankings without excluded products, as long as stored lists, padded with -1.

        The model ranks as many more products per user as the exclusion can remove, so that lists are full
        wherever the model ranks enough products.
        """
        rankings = {
            novelty: Ranking(
                users,
                np.full((users.size, size), -1, dtype=np.int64),
                np.full((users.size, size), -np.inf, dtype=np.float32),
            )
            for novelty, size in self.sizes.items()
        }
        # users with many excluded products are ranked separately, or all rankings would be as long as theirs
        room = np.stack([_rounded_up(excluded[novelty].extra_per_user) for novelty in rankings], axis=1)
        for extras in np.unique(room, axis=0):
            rows = np.flatnonzero((room == extras).all(axis=1))
            lengths = [
                self._length(size + int(extra))
                for size, extra in zip(self.sizes.values(), extras, strict=True)
            ]
            both = recommend_both(
                self.model.model,
                users[rows],
                *lengths,
                histories=None if user_histories is None else [user_histories[row] for row in rows.tolist()],
                only=self.catalogue.shown_ids,
            )
            for novelty, ranking in zip(rankings, both, strict=True):
                best = _best_usable(ranking, users[rows], excluded[novelty].keys, self.sizes[novelty])
                rankings[novelty].products[rows], rankings[novelty].scores[rows] = best
        return rankings

    def _length(self, k: int) -> int:
        """Limit the length of a ranking to the products of the model, or that of the stored list."""
        return min(k, max(*self.sizes.values(), len(self.model.model.items_)))

    def _fill(self, products: Ids, users: Ids, excluded: Ids) -> Ids:
        """Choose the next popular product that is not excluded for each empty position of the lists.

        Parameters
        ----------
        products : int64, shape (users, k)
            The lists; -1 at empty positions.
        users : int64, shape (users,)
            Whose lists these are.
        excluded : int64
            The products that these lists must not have, as sorted keys (user, product).

        Returns
        -------
        int64, shape (users, k)
            Ranks in the popular order; -1 elsewhere, and where no product remains.
        """
        popular_ranks = np.full(products.shape, -1, dtype=np.int64)
        order = self.popular.order(self.catalogue)[0]
        order = np.flatnonzero(self.catalogue.shown[order])
        examined = FIRST_POPULAR
        rows = np.flatnonzero((products < 0).any(axis=1))
        while rows.size:
            ids = self.catalogue.ids[self.popular.order(self.catalogue)[0][order[:examined]]]
            keys = keys_of(users[rows, None], ids)
            listed = np.sort(keys_of(users[rows, None], products[rows])[products[rows] >= 0])
            usable = ~among(keys, excluded) & ~among(keys, listed)
            missing = (products[rows] < 0).sum(axis=1)
            is_complete = (usable.sum(axis=1) >= missing) | (examined >= order.size)
            for row, is_usable, count in zip(
                rows[is_complete], usable[is_complete], missing[is_complete], strict=True
            ):
                ranks = order[:examined][is_usable][:count]
                start = products.shape[1] - count
                popular_ranks[row, start : start + ranks.size] = ranks
            rows = rows[~is_complete]
            examined *= 8
        return popular_ranks

    def _records(
        self,
        novelty: Novelty,
        ranking: Ranking,
        evidence_products: Ids,
        popular_ranks: Ids,
        interactions: InteractionIndex,
    ) -> npt.NDArray[Any]:
        """Return ranked and popular products as records; product 0 where a list ends."""
        model, users, by_model = self.model, ranking.queries[:, None], ranking.products >= 0
        order, shares = self.popular.order(self.catalogue)
        popular = popular_ranks >= 0
        products = np.where(by_model, ranking.products, 0)
        products[popular] = self.catalogue.ids[order[popular_ranks[popular]]]
        units = np.where(by_model, model.units(ranking.scores, novelty), 0)
        units[popular] = shares[popular_ranks[popular]]
        kinds = np.where(by_model, model.kind, Kind.POPULAR)
        was_bought = interactions.were_bought(users, evidence_products)
        reasons = evidence_reasons(products, evidence_products, was_bought, model.kind)
        reasons[~by_model] = self.popular.reason
        # popularity is weaker evidence than the model: popular products never rank above the model's
        scores = _strictly_decreasing_rows(units, (by_model | popular).sum(axis=1))
        return encode(
            products,
            scores,
            kinds,
            reasons,
            np.where(by_model, evidence_products, -1),
            ~interactions.were_touched(users, products),
            interactions.were_bought(users, products),
        )


def _rounded_up(count: Ids) -> Ids:
    """Round up to powers of two from 16, so that few different sizes occur."""
    rounded: Ids = np.maximum(16, 2 ** np.ceil(np.log2(np.maximum(1, count)))).astype(np.int64)
    return rounded


def _best_usable(
    ranking: Ranking, users: Ids, excluded: Ids, size: int
) -> tuple[Ids, npt.NDArray[np.float32]]:
    """Return the first `size` products of each row that are not excluded, and their scores."""
    is_usable = (ranking.products >= 0) & ~among(keys_of(users[:, None], ranking.products), excluded)
    best = np.argsort(~is_usable, axis=1, kind="stable")[:, :size]
    is_listed = np.take_along_axis(is_usable, best, 1)
    return (
        np.where(is_listed, np.take_along_axis(ranking.products, best, 1), -1),
        np.where(is_listed, np.take_along_axis(ranking.scores, best, 1), np.float32(-np.inf)),
    )


def _strictly_decreasing_rows(units: Ids, lengths: Ids) -> Ids:
    """Apply `strictly_decreasing` to the first `lengths[i]` entries of each row i."""
    decreasing = np.zeros_like(units)
    for length in np.unique(lengths):
        rows = lengths == length
        decreasing[rows, :length] = strictly_decreasing(units[rows, :length])
    return decreasing


def _entries_of(records: npt.NDArray[Any]) -> Sequence[Entry]:
    return entries_of_records(records[records["product"] > 0])
