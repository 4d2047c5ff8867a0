"""The README's commands at their defaults, from a CSV file to stored lists, judged on what was held back."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import implicit.als
import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse
from threadpoolctl import threadpool_limits

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY, Events
from recsys.domains.recommendations.types import INTERACTION_TYPES
from tests.models.shops import SHOPS
from tests.support.shop import Shop

K = 20
HELD_DAYS = 14
MARGIN = 0.05
"""Not behind is what is neither 5% nor significantly behind."""
WITHOUT_TIMES = "durable goods without times"
PURCHASE = INTERACTION_TYPES.index("purchase")
SELECTS = {
    "any": "SELECT u.username, p.sku FROM recommendations_db.product_recommendations r "
    "JOIN users_db.users u ON u.id = r.user_id JOIN products_db.products p ON p.id = r.product_id "
    "WHERE r.context ? 'any' ORDER BY r.user_id, r.score DESC",
    "new": "SELECT u.username, p.sku FROM recommendations_db.product_recommendations r "
    "JOIN users_db.users u ON u.id = r.user_id JOIN products_db.products p ON p.id = r.product_id "
    "WHERE r.context ? 'new' ORDER BY r.user_id, (r.context #>> '{new,rank}')::int",
}

Lists = Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class HeldBack:
    """A shop as a file, and the purchases that are held back from it.

    Attributes
    ----------
    options
        Of the import.
    weights : csr float32, shape (users, products)
        How often each user touched each product.
    seen : csr float32, shape (users, products)
        The same as ones.
    wanted
        Per question the purchases held back, by user.
    """

    file: Path
    options: tuple[str, ...]
    weights: sparse.csr_matrix
    seen: sparse.csr_matrix
    wanted: dict[str, dict[int, set[int]]]


@pytest.fixture(params=[*sorted(SHOPS), WITHOUT_TIMES])
def held_back(request: pytest.FixtureRequest, tmp_path: Path) -> HeldBack:
    kind = str(request.param)
    data = SHOPS["durable goods" if kind == WITHOUT_TIMES else kind]()
    events = data.events
    last = _last_purchases(events) if kind == "event log" else _last_days(data)
    shape = len(data.users), len(data.items)
    pairs = events.user[~last], events.item[~last]
    weights = sparse.coo_matrix((np.ones(pairs[0].size, np.float32), pairs), shape=shape).tocsr()
    wanted: dict[str, dict[int, set[int]]] = {"any": defaultdict(set), "new": defaultdict(set)}
    bought = last & (events.kind == PURCHASE)
    for user, item in zip(events.user[bought].tolist(), events.item[bought].tolist(), strict=True):
        wanted["any"][user].add(item)
        if not weights[user, item]:
            wanted["new"][user].add(item)
    file = tmp_path / "interactions.csv"
    with file.open("w", newline="") as text:
        rows = csv.writer(text)
        columns = 3 if kind == WITHOUT_TIMES else 4
        rows.writerow(["user", "product", "interaction_type", "created_at"][:columns])
        for user, item, code, time in zip(
            *(each[~last].tolist() for each in (events.user, events.item, events.kind, events.time)),
            strict=True,
        ):
            moment = np.datetime64(time, "us").item().isoformat() + "Z"
            rows.writerow([f"user-{user}", f"product-{item}", INTERACTION_TYPES[code], moment][:columns])
    options = ("--no-times",) if kind == WITHOUT_TIMES else ()
    return HeldBack(file, options, weights, weights.astype(bool).astype(np.float32), wanted)


def _last_days(data: Dataset) -> npt.NDArray[np.bool_]:
    return np.asarray(data.events.time > data.moment - HELD_DAYS * MICROSECONDS_PER_DAY)


def _last_purchases(events: Events) -> npt.NDArray[np.bool_]:
    """Each user's last purchase, all of the session that begins with that product, and what came later."""
    held = np.zeros(len(events), dtype=bool)
    for user in np.unique(events.user[events.kind == PURCHASE]).tolist():
        own = np.flatnonzero(events.user == user)
        last = own[events.kind[own] == PURCHASE][-1]
        session = own[np.abs(events.time[own] - events.time[last]) < MICROSECONDS_PER_DAY // 24]
        first = session[events.item[session] == events.item[last]][0]
        held[own[events.time[own] >= events.time[first]]] = True
    return held


def test_served_lists_are_not_behind_what_a_team_writes_in_an_afternoon(
    shop: Shop, held_back: HeldBack
) -> None:
    for command in (
        ("import", "csv", "--interactions", held_back.file, "--create-missing", *held_back.options),
        ("features", "build"),
        ("train", "run", "--all"),
        ("serve", "score"),
    ):
        done = shop.run(*command, timeout=600)
        assert done.returncode == 0, done.stderr
    served = {question: _served(shop, question) for question in SELECTS}
    assert set(served["new"]) == set(np.flatnonzero(np.diff(held_back.seen.indptr)).tolist())
    for question, lists in served.items():
        for user, items in lists.items():
            assert len(set(items)) == len(items)
            assert question == "any" or not held_back.seen[user, items].nnz
    peers = _simple_methods(held_back)
    for question, wanted in held_back.wanted.items():
        assert len(wanted) > 60
        ours = _ndcg(served[question], wanted)
        for name, lists in peers.items():
            theirs = _ndcg(lists[question], wanted)
            change, figures = ours - theirs, (question, name, ours.mean(), theirs.mean())
            noise = 1.96 * change.std(ddof=1) / np.sqrt(change.size)
            assert change.mean() >= -max(noise, MARGIN * theirs.mean()), figures


def _served(shop: Shop, question: str) -> dict[int, list[int]]:
    lists: dict[int, list[int]] = defaultdict(list)
    with shop.connect() as connection:
        for user, product in connection.execute(SELECTS[question]).fetchall():
            lists[int(user.removeprefix("user-"))].append(int(product.removeprefix("product-")))
    return lists


def _simple_methods(held: HeldBack) -> dict[str, dict[str, Lists]]:
    """Popularity, what a user took most often, cosine neighbours, ALS, and halves of two of these."""
    taken = held.weights.toarray()
    popular = np.tile(taken.sum(axis=0), (taken.shape[0], 1))
    own = taken + popular / (1 + popular.max())
    columns = taken / np.maximum(np.linalg.norm(taken, axis=0), 1e-9)
    similar = columns.T @ columns
    np.fill_diagonal(similar, 0)
    # implicit warns of more threads, and a warning is an error here
    with threadpool_limits(1, "blas"):
        als = implicit.als.AlternatingLeastSquares(factors=32, iterations=15, random_state=1, num_threads=1)
        als.fit(held.weights, show_progress=False)
    scores = {
        "popularity": popular,
        "own": own,
        "cosine": taken @ similar,
        "als": als.user_factors @ als.item_factors.T,
    }
    scores["own and cosine"] = own / own.max() + scores["cosine"] / scores["cosine"].max()
    unseen = held.seen.toarray() == 0
    return {
        name: {"any": _best(values), "new": _best(np.where(unseen, values, -np.inf))}
        for name, values in scores.items()
    }


def _best(scores: np.ndarray) -> dict[int, list[int]]:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return {user: items.tolist() for user, items in enumerate(order)}


def _ndcg(lists: Lists, wanted: Mapping[int, set[int]]) -> npt.NDArray[np.float64]:
    """Of each user with something held back, float64 (users,)."""
    discount = 1 / np.log2(np.arange(2, K + 2))
    values = []
    for user, items in wanted.items():
        hits = [discount[place] for place, item in enumerate(lists.get(user, [])[:K]) if item in items]
        values.append(sum(hits) / discount[: len(items)].sum())
    return np.array(values)
