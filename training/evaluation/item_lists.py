"""Lists that start from products, judged on what people looked at or bought with them after a cutoff.

Three questions. `similar`: which product does a person look at or buy next instead of this one?
`complements`: which other products are in the basket that holds this one? `cart`: which product is missing
from a basket that holds these? The full catalogue is ranked for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.ids import distinct
from features.interactions import Events, History
from features.splitting.occasions import PURCHASE, baskets_of, people_of, visits_of
from models.base import Recommender
from recsys.errors import Invalid
from training.evaluation.metrics import find_hits
from training.evaluation.significance import PairedDifference, bootstrap_interval, compare

__all__ = [
    "FLOORS",
    "METRICS",
    "ItemListFigures",
    "ItemQuestion",
    "QuestionName",
    "ask",
    "figures_of",
    "floor_lists",
    "judge_lists",
    "model_lists",
    "per_person",
    "versus",
]

QuestionName = Literal["similar", "complements", "cart"]
METRICS = ("ndcg", "hit_rate", "stratified_ndcg", "precision", "recall")
FLOORS = ("popularity", "popularity_in_category", "random")
STRATIFIED_POWER = 0.5
"""A right product counts (interactions before the cutoff + 1)^-power in `stratified_ndcg`."""

FEWEST_IN_CART = 2
"""Products that a cart holds at least; with one the question is that of `complements`."""

MOST_CARTS = 2_000
"""Of more carts a draw is judged: each is ranked by itself."""

Lists = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ItemQuestion:
    """What is asked, once per pair of occasions.

    Attributes
    ----------
    train
        What models learn from: everything up to the cutoff.
    seeds : int64, shape (n,)
        Item rows of `train`; of a cart any one of its products.
    relevant : csr of bool, shape (n, items of `train`)
        The right products, never the seed; each row has one at least.
    person : int64, shape (n,)
        Who did it; intervals resample people, since one person's occasions are alike.
    note
        Where seeds and right products come from, in words.
    carts : csr of bool, shape (n, items of `train`)
        All products that a list starts from, where these are several; else None.
    """

    name: QuestionName
    train: Dataset
    seeds: npt.NDArray[np.int64]
    relevant: sparse.csr_matrix
    person: npt.NDArray[np.int64]
    note: str
    carts: sparse.csr_matrix | None = None

    def __len__(self) -> int:
        return int(self.seeds.size)


@dataclass(frozen=True)
class ItemListFigures:
    """One model on one question.

    Attributes
    ----------
    queries, people
        How many lists were asked for, and of how many people.
    figures
        The mean over people and the two ends of its 95% interval, by metric of METRICS.
    coverage
        Share of the products that may be shown which are in some list.
    leading_share
        Share of the listed places that the ten products with the most interactions before the cutoff take.
    empty_share
        Share of seeds without a list.
    """

    model: str
    question: QuestionName
    queries: int
    people: int
    figures: dict[str, tuple[float, float, float]]
    coverage: float
    leading_share: float
    empty_share: float


def ask(dataset: Dataset, cutoff: int, name: QuestionName, *, seed: int = 0) -> ItemQuestion:
    """The question `name` on the events after `cutoff`.

    Products unknown at the cutoff or hidden are neither seeds nor right.

    Parameters
    ----------
    dataset
        Events of both sides of the cutoff.
    cutoff
        Microseconds since 1970-01-01 UTC.
    name
        Which question.
    seed
        Draws seeds, and carts where there are more than `MOST_CARTS`.

    Raises
    ------
    Invalid
        When nothing is left to ask.
    """
    train = dataset.until(cutoff)
    weight = dataset.weights.weigh(
        dataset.events.kind, dataset.events.value, dataset.events.time, dataset.moment
    )
    events = dataset.events.take(weight > 0)
    item = train.items.index(dataset.items.ids)[events.item]
    shown = np.append(train.item_features.active, False)[item]
    events, item = events.take(shown), item[shown]
    rng = np.random.default_rng(seed)
    carts: list[Lists] | None = None
    if name == "complements":
        seeds, right, person = _baskets(events, item, cutoff, rng, 2)
        note = "the other products of a basket, given one of them"
    elif name == "cart":
        # the drawn product is what is asked for, the rest is the cart
        missing, carts, person = _baskets(events, item, cutoff, rng, FEWEST_IN_CART + 1)
        some = np.sort(rng.permutation(missing.size)[:MOST_CARTS])
        missing, carts, person = missing[some], [carts[place] for place in some], person[some]
        right, seeds = [one[None] for one in missing], np.array([cart[0] for cart in carts], dtype=np.int64)
        note = "the product of a basket that is missing, given all others"
    else:
        seeds, right, person = _next_in_visit(events, item, cutoff)
        note = "the next product looked at or bought in the same visit"
        if seeds.size == 0:
            seeds, right, person = _next_in_category(events, item, cutoff, train, rng)
            note = "the product of the same category that the same person buys next, other than the last one"
    if seeds.size == 0:
        raise Invalid(f"nothing after the cutoff can be asked for the question {name!r}")
    items = len(train.items)
    given = None if carts is None else _rows_of(carts, items)
    return ItemQuestion(name, train, seeds, _rows_of(right, items), person, note, given)


def _rows_of(parts: Sequence[Lists], items: int) -> sparse.csr_matrix:
    """csr bool (len(parts), items), sorted indices."""
    columns = np.concatenate(parts).astype(np.int64)
    bounds = np.concatenate([[0], np.cumsum([one.size for one in parts])])
    rows = sparse.csr_matrix((np.ones(columns.size, dtype=bool), columns, bounds), shape=(len(parts), items))
    rows.sort_indices()
    return rows


def model_lists(model: Recommender, question: ItemQuestion, k: int) -> Lists:
    """int64 (n, k): the item rows of `question.train` that `model` ranks for each seed or cart, then -1."""
    train = question.train
    if question.carts is not None:
        shown = train.items.ids[train.item_features.active]
        carts = np.split(question.carts.indices, question.carts.indptr[1:-1])
        histories = [History.of(train.items.ids[cart]) for cart in carts]
        products = model.recommend_from(histories, k, exclude="seen", only=shown).products
        return train.items.index(products.ravel()).reshape(products.shape)
    distinct, place = np.unique(question.seeds, return_inverse=True)
    shown = train.items.ids[train.item_features.active]
    ranking = model.similar_items(train.items.ids[distinct], k, only=shown)
    return train.items.index(ranking.products.ravel()).reshape(ranking.products.shape)[place]


def floor_lists(question: ItemQuestion, floor: str, k: int, *, seed: int = 0) -> Lists:
    """The lists of one of FLOORS: most interactions, most in the seed's own category, or any products."""
    train = question.train
    events, active = train.events, train.item_features.active
    order_key = np.bincount(events.item, minlength=len(train.items)).astype(np.float64)
    if floor == "random":
        order_key = np.random.default_rng([seed, 7]).random(len(train.items))
    order_key[~active] = -1.0
    category = (
        train.item_features.category if floor == "popularity_in_category" else np.zeros_like(active, int)
    )
    ranked = np.lexsort((-order_key, category))
    starts = np.searchsorted(category[ranked], category[question.seeds], side="left")
    ends = np.searchsorted(category[ranked], category[question.seeds], side="right")
    given = _given(question)
    longest = int(np.diff(given.indptr).max(initial=1))
    place = starts[:, None] + np.arange(k + longest)[None, :]
    inside = place < ends[:, None]
    lists = np.where(inside, ranked[np.minimum(place, ranked.size - 1)], -1)
    lists[order_key[lists] < 0] = -1
    return _without(lists, given)[:, :k]


def _given(question: ItemQuestion) -> sparse.csr_matrix:
    """csr bool (n, items): what each list starts from, and so does not hold."""
    if question.carts is not None:
        return question.carts
    return _rows_of(list(question.seeds[:, None]), len(question.train.items))


def judge_lists(lists: Lists, question: ItemQuestion) -> dict[str, Values]:
    """Per metric of METRICS one value per query, float64 (n,), at k = the width of `lists`."""
    hits = find_hits(lists, question.relevant)
    sizes = np.diff(question.relevant.indptr)
    k = lists.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.append(0.0, np.cumsum(discount))[np.minimum(sizes, k)]
    bought = np.bincount(question.train.events.item, minlength=len(question.train.items)) + 1.0
    worth = np.append(bought**-STRATIFIED_POWER, 0.0)
    best = np.zeros(len(question))
    owner = np.repeat(np.arange(len(question)), sizes)
    gains = worth[question.relevant.indices]
    order = np.lexsort((-gains, owner))
    rank = np.arange(owner.size) - np.repeat(question.relevant.indptr[:-1], sizes)
    there = rank < k
    np.add.at(best, owner[there], gains[order][there] * discount[rank[there]])
    return {
        "ndcg": (hits * discount).sum(axis=1) / ideal,
        "hit_rate": hits.any(axis=1).astype(np.float64),
        "stratified_ndcg": (hits * worth[lists] * discount).sum(axis=1) / best,
        "precision": hits.mean(axis=1),
        "recall": hits.sum(axis=1) / sizes,
    }


def per_person(values: Values, question: ItemQuestion) -> Values:
    """The mean of each person's queries, float64 (people,), in the order of their numbers."""
    _, place = np.unique(question.person, return_inverse=True)
    means: Values = np.bincount(place, weights=values) / np.bincount(place)
    return means


def figures_of(
    name: str, lists: Lists, question: ItemQuestion, *, draws: int = 1000, seed: int = 0
) -> ItemListFigures:
    """All figures of one model's lists."""
    values = judge_lists(lists, question)
    people = np.stack([per_person(values[metric], question) for metric in METRICS], axis=1)
    low, high = bootstrap_interval(people, draws=draws, seed=seed)
    means = people.mean(axis=0)
    active, bought = question.train.item_features.active, question.train.events.item
    leading = np.argsort(-np.bincount(bought, minlength=active.size), kind="stable")[:10]
    listed = lists[lists >= 0]
    return ItemListFigures(
        name,
        question.name,
        len(question),
        people.shape[0],
        {m: (float(means[i]), float(low[i]), float(high[i])) for i, m in enumerate(METRICS)},
        float(np.unique(listed).size / max(1, int(active.sum()))),
        float(np.isin(listed, leading).mean()) if listed.size else 0.0,
        float((lists < 0).all(axis=1).mean()),
    )


def versus(
    a: Values, b: Values, question: ItemQuestion, *, draws: int = 1000, seed: int = 0
) -> PairedDifference:
    """Values of two models per query, compared person by person."""
    return compare(per_person(a, question), per_person(b, question), draws=draws, seed=seed)


Pairs = tuple[npt.NDArray[np.int64], list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]


def _baskets(events: Events, item: Lists, cutoff: int, rng: np.random.Generator, fewest: int) -> Pairs:
    """One seed, drawn at random, per basket of at least `fewest` products, and the rest of it."""
    later = np.asarray(events.time) > cutoff
    taken, item = events.take(later), item[later]
    basket = baskets_of(taken)
    keep = basket >= 0
    items = int(item.max(initial=0)) + 1
    held = np.divmod(distinct(basket[keep].astype(np.int64) * items + item[keep]), items)
    person = np.zeros(int(basket.max(initial=-1)) + 1, dtype=np.int64)
    person[basket[keep]] = people_of(taken)[keep]
    return _split_groups(held[0], held[1], person, rng, fewest)


def _split_groups(group: Lists, item: Lists, person: Lists, rng: np.random.Generator, fewest: int) -> Pairs:
    """One item, drawn at random, of each group that is large enough, and the rest of it.

    Parameters
    ----------
    group : int64, shape (n,)
        The group of each item, increasing.
    item : int64, shape (n,)
        Items of the groups.
    person : int64, shape (groups,)
        The person of each group.
    fewest
        Smaller groups are left out.
    """
    names, start, size = np.unique(group, return_index=True, return_counts=True)
    several = np.flatnonzero(size >= fewest)
    chosen = start[several] + rng.integers(0, size[several])
    right = [
        np.delete(item[start[g] : start[g] + size[g]], c - start[g])
        for g, c in zip(several.tolist(), chosen.tolist(), strict=True)
    ]
    return item[chosen], right, person[names[several]]


def _next_in_visit(events: Events, item: Lists, cutoff: int) -> Pairs:
    """Each step of a visit to another product at a later moment; what shares a moment has no order."""
    later = np.asarray(events.time) > cutoff
    taken, item = events.take(later), item[later]
    visit, time = visits_of(taken), np.asarray(taken.time)
    order = np.lexsort((item, time, visit))
    order = order[visit[order] >= 0]
    visit, time, item, person = visit[order], time[order], item[order], people_of(taken)[order]
    step = np.flatnonzero((visit[1:] == visit[:-1]) & (time[1:] > time[:-1]) & (item[1:] != item[:-1]))
    return item[step], [item[one : one + 1] for one in step + 1], person[step]


def _next_in_category(
    events: Events, item: Lists, cutoff: int, train: Dataset, rng: np.random.Generator
) -> Pairs:
    """Purchases of one person in one category, one moment after the other; the later one after the cutoff."""
    category = train.item_features.category[item]
    bought = (np.asarray(events.kind) == PURCHASE) & (np.asarray(events.user) >= 0) & (category >= 0)
    user, time = np.asarray(events.user)[bought], np.asarray(events.time)[bought]
    item, category = item[bought], category[bought]
    order = np.lexsort((item, time, category, user))
    user, time, item, category = user[order], time[order], item[order], category[order]
    new = np.ones(user.size, dtype=bool)
    same = (user[1:] == user[:-1]) & (category[1:] == category[:-1])
    new[1:] = ~same | (time[1:] != time[:-1])
    start = np.flatnonzero(new)
    end = np.append(start[1:], user.size)
    seeds, right, person = [], [], []
    follows = (user[start[1:]] == user[start[:-1]]) & (category[start[1:]] == category[start[:-1]])
    for place in np.flatnonzero(follows & (time[start[1:]] > cutoff)).tolist():
        seed = item[rng.integers(start[place], end[place])]
        found = np.unique(item[start[place + 1] : end[place + 1]])
        found = found[found != seed]
        if found.size:
            seeds.append(seed)
            right.append(found)
            person.append(user[start[place]])
    return np.array(seeds, dtype=np.int64), right, np.array(person, dtype=np.int64)


def _without(lists: Lists, given: sparse.csr_matrix) -> Lists:
    """The lists without what is given; what is left moves up, -1 fills the end."""
    items = given.shape[1]
    owner = np.repeat(np.arange(given.shape[0], dtype=np.int64), np.diff(given.indptr))
    rows = np.arange(lists.shape[0])[:, None]
    gone = np.isin(rows * items + lists, owner * items + given.indices) & (lists >= 0)
    kept = np.where(gone, -1, lists)
    order = np.argsort(gone, axis=1, kind="stable")
    return np.asarray(np.take_along_axis(kept, order, axis=1), dtype=np.int64)
