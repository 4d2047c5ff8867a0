"""Some users' finished lists at once: ranked, ruled, filled and explained."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from features.build import weights_of
from features.history import histories
from features.interactions import History
from models.results import Ranking
from recsys.domains.recommendations.lists import Entry
from recsys.settings import ServingSettings, get_settings
from serving.active_model import Loaded
from serving.candidates import entries_of
from serving.catalogue import Catalogue
from serving.popular import Popular
from serving.rules import Novelty
from serving.touches import Touches

__all__ = ["Batch", "choose_best"]


class Batch:
    """Some users: two rankings each (any product; new ones), joined, ruled, filled and explained."""

    def __init__(
        self,
        loaded: Loaded,
        catalogue: Catalogue,
        popular: Popular,
        settings: ServingSettings,
        users: npt.NDArray[np.int64],
        *,
        fold_in: bool = False,
    ) -> None:
        """`fold_in`: by what PostgreSQL knows of them now, also those whom the model remembers."""
        self.fold_in = fold_in
        self.loaded, self.catalogue, self.popular = loaded, catalogue, popular
        self.settings, self.users = settings, users
        self.filled = 0

    def lists(self, connection: psycopg.Connection[Any]) -> dict[int, list[Entry]]:
        """The finished list of each user."""
        touches = Touches.read(connection, self.users)
        known = (self.loaded.model.users_.index(self.users) >= 0) & (not self.fold_in)
        finished: dict[int, list[Entry]] = {}
        for users, folded_in in ((self.users[known], False), (self.users[~known], True)):
            if users.size == 0:
                continue
            told = self._histories(connection, users) if folded_in else None
            chosen = self._choose(users, told, touches)
            evidence = self.loaded.model.evidence(chosen, told)
            # the evidence of a row and its products, side by side: was it bought?
            asked = np.hstack([evidence, chosen.products])
            was_bought = touches.were_bought(users[:, None], asked)
            was_touched = touches.were_touched(users[:, None], chosen.products)
            for row, user in enumerate(users.tolist()):
                bought = dict(zip(asked[row].tolist(), was_bought[row].tolist(), strict=True))
                touched = dict(zip(chosen.products[row].tolist(), was_touched[row].tolist(), strict=True))
                entries = entries_of(
                    self.loaded, chosen, evidence, row, touched.__getitem__, bought.__getitem__
                )
                finished[user] = self._fill(user, entries, touches)
        return {user: finished[user] for user in self.users.tolist()}

    def _histories(self, connection: psycopg.Connection[Any], users: npt.NDArray[np.int64]) -> list[History]:
        return histories(connection, users.tolist(), weights_of(get_settings()), self.loaded.model.moment_)

    def _choose(self, users: npt.NDArray[np.int64], told: list[History] | None, touches: Touches) -> Ranking:
        model, stored, fresh = (
            self.loaded.model,
            self.settings.stored_per_user,
            self.settings.stored_new_per_user,
        )
        shown = self.catalogue.shown_ids
        # what the repeat policy takes away is made up for by products the user never touched
        any_k, new_k = 2 * stored, stored
        if told is None:
            both = [
                model.recommend(users, any_k, only=shown),
                model.recommend(users, new_k, exclude="seen", only=shown),
            ]
        else:
            both = [
                model.recommend_from(told, any_k, only=shown),
                model.recommend_from(told, new_k, exclude="seen", only=shown),
            ]
        products = np.hstack([both[0].products, both[1].products])
        scores = np.hstack([both[0].scores, both[1].scores])
        owner = users[:, None]
        novel = ~touches.were_touched(owner, products)
        barred = touches.were_bought(owner, products) & self._bars(products)
        barred |= touches.were_dismissed(owner, products)
        # a product of the second ranking that the first one has too counts once
        twice = np.zeros(products.shape, dtype=bool)
        order = np.argsort(products, axis=1, kind="stable")
        ordered = np.take_along_axis(products, order, axis=1)
        np.put_along_axis(twice, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        usable = (products >= 0) & ~barred & ~twice
        return Ranking(users, *choose_best(products, np.where(usable, scores, -np.inf), novel, stored, fresh))

    def _bars(self, products: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        if len(self.catalogue) == 0:
            return np.zeros(products.shape, dtype=bool)
        rows = self.catalogue.rows(products)
        return (rows >= 0) & ~self.catalogue.repeats[rows]

    def _fill(self, user: int, entries: list[Entry], touches: Touches) -> list[Entry]:
        stored, fresh = self.settings.stored_per_user, self.settings.stored_new_per_user
        missing = stored - len(entries)
        if missing <= 0:
            return entries
        visitor = touches.of(user)
        rows = self.catalogue.rows([one.product for one in entries])
        open_ = self.catalogue.shown.copy()
        open_[rows[rows >= 0]] = False
        closed = visitor.closed(self.catalogue, Novelty.NEW)
        for why in ("bought", "dismissed"):
            open_ &= ~closed[why]
        want_new = max(0, fresh - sum(one.novel for one in entries))
        new = self.popular.entries(self.catalogue, min(missing, want_new), open_ & ~closed["not_new"])
        open_[self.catalogue.rows([one.product for one in new])] = False
        more = self.popular.entries(self.catalogue, missing - len(new), open_)
        added = sorted([*new, *more], key=lambda one: -one.score)
        if added:
            self.filled += 1
        # the chance that just anybody takes a product says less than the model: it never ranks above it
        ceiling = entries[-1].score if entries else 10_000
        return entries + [
            one._replace(
                score=min(one.score, ceiling),
                novel=one.product not in visitor.touched,
                bought=one.product in visitor.bought,
            )
            for one in added
        ]


def choose_best(
    products: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    novel: npt.NDArray[np.bool_],
    stored: int,
    fresh: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The `stored` best of each row, at least `fresh` of them novel if there are so many; best first."""
    order = np.argsort(-scores, axis=1, kind="stable")
    products, scores = np.take_along_axis(products, order, 1), np.take_along_axis(scores, order, 1)
    there = scores > -np.inf
    reserved = np.take_along_axis(novel, order, 1) & there
    reserved &= np.cumsum(reserved, axis=1) <= fresh
    free = there & ~reserved
    free &= np.cumsum(free, axis=1) <= stored - reserved.sum(axis=1, keepdims=True)
    taken = reserved | free
    places = np.argsort(~taken, axis=1, kind="stable")[:, :stored]
    kept = np.take_along_axis(taken, places, 1)
    return (
        np.where(kept, np.take_along_axis(products, places, 1), -1),
        np.where(kept, np.take_along_axis(scores, places, 1), np.float32(-np.inf)),
    )
