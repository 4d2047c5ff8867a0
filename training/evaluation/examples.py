"""A few real users, chosen before any model is seen, and what a model would have shown them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset
from features.interactions import History
from models.base import Recommender
from training.evaluation.metrics import find_hits
from training.evaluation.splits import VIEWS, Split, View

__all__ = ["ExampleItem", "ExampleUser", "ModelLists", "choose_users", "recommend_examples"]

LENGTH = 10
RECENT = 6


@dataclass(frozen=True)
class ExampleUser:
    """A test user and why this one: counts of events before the cutoff and of right answers per view."""

    user: int
    why: str
    events: int
    recent: tuple[str, ...]
    """Names of the latest products before the cutoff, newest first."""
    right: dict[View, int]


@dataclass(frozen=True)
class ExampleItem:
    """One place of a list: whether the user took it up, and the own product that speaks most for it."""

    product: int
    name: str
    hit: bool
    because: str | None
    again: bool
    """The user's own product that speaks for it is this very product."""


ModelLists = dict[int, dict[View, list[ExampleItem]]]


def choose_users(split: Split) -> list[ExampleUser]:
    """Few events, typical, many events, and the user whose taste is furthest from the bestsellers.

    Chosen by the past alone, so that no model is flattered; ties go to the lower id.
    """
    train, users = split.train, split.folds["all"].users
    users = users[train.users.index(users) >= 0]  # of those who came later there is no past to show
    if not users.size:
        return []
    rows = train.users.index(users)
    events = np.bincount(train.events.user[train.events.user >= 0], minlength=len(train.users))[rows]
    by_events = np.lexsort((users, events))
    middle = by_events[by_events.size // 2]
    popularity = np.log1p(np.asarray((train.touched > 0).sum(axis=0)).ravel())
    touched = train.touched[rows]
    distinct = np.maximum(np.diff(touched.indptr), 1)
    mainstream = (touched > 0).astype(np.float64) @ popularity / distinct
    # an unusual taste needs enough of it to be seen: not fewer events than the lower quarter
    enough = events >= np.quantile(events, 0.25)
    odd = int(np.argmin(np.where(enough, mainstream, np.inf)))
    chosen: dict[int, str] = {}
    for place, why in (
        (int(middle), "typical: half of the users have more events, half fewer"),
        (int(by_events[0]), "fewest events before the cutoff"),
        (int(by_events[-1]), "most events before the cutoff"),
        (odd, "unusual taste: buys what few others do"),
    ):
        chosen.setdefault(place, why)
    return [_described(split, int(users[place]), why, int(events[place])) for place, why in chosen.items()]


def recommend_examples(model: Recommender, split: Split, users: list[ExampleUser]) -> ModelLists:
    """The first places of both views for each example user, with hits and evidence."""
    ids = np.array([example.user for example in users], dtype=np.int64)
    lists: ModelLists = {example.user: {} for example in users}
    if ids.size == 0:
        return lists
    for view in VIEWS:
        fold = split.folds[view]
        exclude = "seen" if view == "new" else None
        histories = _histories(split, view, ids)
        if histories is None:
            ranking = model.recommend(ids, LENGTH, exclude=exclude, only=split.only)
        else:
            ranking = model.recommend_from(histories, LENGTH, exclude=exclude, only=split.only)
        evidence = model.evidence(ranking, histories)
        for i, user in enumerate(ids):
            products, _ = ranking.row(i)
            place = np.flatnonzero(fold.users == user)
            hits = np.zeros(products.size, dtype=bool)
            if place.size:
                hits = find_hits(split.train.items.index(products)[None, :], fold.relevant[[int(place[0])]])[
                    0
                ]
            names = product_names(split.train, products)
            speaks = evidence[i, : products.size]
            because = product_names(split.train, speaks)
            lists[int(user)][view] = [
                ExampleItem(
                    int(products[j]),
                    names[j],
                    bool(hits[j]),
                    because[j] if speaks[j] >= 0 else None,
                    bool(speaks[j] == products[j]),
                )
                for j in range(products.size)
            ]
    return lists


def _histories(split: Split, view: View, ids: npt.NDArray[np.int64]) -> list[History] | None:
    """What the users come with in that view, or in the view `all` where they are not asked in it."""
    found: dict[int, History] = {}
    for fold in (split.folds["all"], split.folds[view]):
        if fold.histories is None:
            return None
        found |= dict(zip(fold.users.tolist(), fold.histories, strict=True))
    return [found[user] for user in ids.tolist()]


def product_names(dataset: Dataset, products: npt.NDArray[np.int64]) -> list[str]:
    """Names by id; a product without a name is called by its number."""
    rows = dataset.items.index(products)
    names = dataset.item_features.names
    return [
        (names[row].strip() if row >= 0 else "") or f"product {product}"
        for row, product in zip(rows.tolist(), products.tolist(), strict=True)
    ]


def _described(split: Split, user: int, why: str, events: int) -> ExampleUser:
    row = int(split.train.users.index([user])[0])
    items = split.train.events.item[split.train.events.user == row][::-1]
    latest = list(dict.fromkeys(items.tolist()))[:RECENT]
    right: dict[View, int] = {}
    for view in VIEWS:
        fold = split.folds[view]
        right[view] = int(fold.sizes[fold.users == user].sum())
    names = product_names(split.train, split.train.items.ids[latest])
    return ExampleUser(user, why, events, tuple(names), right)
