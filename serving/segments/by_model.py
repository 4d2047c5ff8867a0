"""Segments by a model: likely buyers, look-alikes, and the next best category of each user."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.base import Recommender
from models.ranking.calibration import BuyingChances
from recsys.errors import Invalid
from serving.segments.members import SegmentMember

__all__ = ["likely_buyers", "look_alikes", "next_categories"]

Ids = npt.NDArray[np.int64]
Found = TypeVar("Found")
Allowed = Callable[[Collection[int]], set[int]]
DEPTH = 100
"""Products of a user's list that are searched for another category."""
_BLOCK = 2_000
"""Users that are ranked at once."""


def likely_buyers(
    model: Recommender, products: Ids, limit: int, allowed: Allowed, *, new: bool
) -> list[SegmentMember]:
    """The users who most likely choose one of `products`, each with the best of these for them.

    The lists of all users among these products, transposed. The chance is that of taking up that
    single product within the days of `Recommender.chances_`: chances of several products of a user are not
    independent, and are not added up.

    Parameters
    ----------
    products : int64, shape (n,)
        Ids of products.
    allowed
        Which of some users may be in a segment.
    new
        Whether only users without an interaction with the product are listed.

    Raises
    ------
    Invalid
        The model knows none of the products, or has no chances.
    """
    known = products[model.items_.index(products) >= 0]
    if not known.size:
        raise Invalid(
            "the model knows none of these products; new ones have no interactions to learn from yet"
        )
    chances = _chances(model)
    calibration = chances.new if new else chances.any
    best: list[tuple[float, int, int]] = []
    for users in _blocks(model.users_.ids):
        ranking = model.recommend(users, 1, exclude="seen" if new else None, only=known)
        ranked = ranking.products[:, 0] >= 0
        best += zip(
            calibration(ranking.scores[ranked, 0]).tolist(),
            users[ranked].tolist(),
            ranking.products[ranked, 0].tolist(),
            strict=True,
        )
    best.sort(key=lambda one: (-one[0], one[1]))
    return [
        SegmentMember(user, product, chance=chance)
        for chance, user, product in _first(best, limit, allowed, lambda one: one[1])
    ]


def look_alikes(model: Recommender, like: Ids, limit: int, allowed: Allowed) -> list[SegmentMember]:
    """The users whose interactions are most like those of `like`, who are left out.

    The similarity is the cosine of a user's products and the mean of the given users', each product weighted
    by its rarity: tf-idf (Salton & Buckley 1988, "Term-weighting approaches in automatic text retrieval",
    Information Processing & Management 24(5)) and Rocchio's centroid.

    Parameters
    ----------
    like : int64, shape (n,)
        Ids of users.
    allowed
        Which of some users may be in a segment.

    Raises
    ------
    Invalid
        The model knows none of these users.
    """
    rows = model.users_.index(like)
    rows = rows[rows >= 0]
    if not rows.size:
        raise Invalid("the model knows none of these users; name users with interactions before its training")
    profiles = _profiles(model.history_)
    centroid = np.asarray(profiles[rows].mean(axis=0)).ravel()
    norm = float(np.linalg.norm(centroid))
    similarity = profiles @ centroid / norm if norm > 0 else np.zeros(profiles.shape[0])
    similarity[rows] = 0.0
    order = np.lexsort((model.users_.ids, -similarity))
    order = order[similarity[order] > 1e-12]
    found = [(int(model.users_.ids[row]), float(similarity[row])) for row in order.tolist()]
    return [
        SegmentMember(user, similarity=min(1.0, value))
        for user, value in _first(found, limit, allowed, lambda one: one[0])
    ]


def next_categories(
    model: Recommender, on_sale: Ids, category_of: dict[int, int], limit: int, allowed: Allowed
) -> list[SegmentMember]:
    """For each user the category without an interaction of theirs that holds their likeliest product.

    Users whose first `DEPTH` products are all of categories they know are left out.

    Parameters
    ----------
    on_sale : int64, shape (n,)
        Ids of the products on sale.
    category_of
        The category of each product that has one, on sale or not.
    allowed
        Which of some users may be in a segment.

    Raises
    ------
    Invalid
        The model has no chances.
    """
    calibration = _chances(model).new
    item_category = np.array([category_of.get(product, -1) for product in model.items_.ids.tolist()])
    found: list[tuple[float, int, int, int]] = []
    indptr, indices = model.history_.indptr, model.history_.indices
    for users in _blocks(model.users_.ids):
        ranking = model.recommend(users, DEPTH, exclude="seen", only=on_sale)
        for number, (user, row) in enumerate(
            zip(users.tolist(), model.users_.index(users).tolist(), strict=True)
        ):
            known = set(item_category[indices[indptr[row] : indptr[row + 1]]].tolist()) | {-1}
            for product, score in zip(*(part.tolist() for part in ranking.row(number)), strict=True):
                category = category_of.get(product, -1)
                if category not in known:
                    chance = float(calibration(np.array([score], dtype=np.float32))[0])
                    found.append((chance, user, product, category))
                    break
    found.sort(key=lambda one: (-one[0], one[1]))
    return [
        SegmentMember(user, product, category, chance)
        for chance, user, product, category in _first(found, limit, allowed, lambda one: one[1])
    ]


def _chances(model: Recommender) -> BuyingChances:
    if model.chances_ is None:
        raise Invalid("the model has no chances of buying, as its training held nothing out; train it again")
    return model.chances_


def _profiles(history: sparse.csr_matrix) -> sparse.csr_matrix:
    """The users' products as unit vectors of tf-idf weights, csr float64 (users, items)."""
    weights = history.astype(np.float64)
    weights.data = np.log1p(np.maximum(weights.data, 0.0))
    users_of = np.bincount(history.indices[history.data > 0], minlength=history.shape[1])
    weights = weights @ sparse.diags(np.log((1.0 + history.shape[0]) / (1.0 + users_of)))
    norms = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1.0 / np.where(norms > 0, norms, 1.0)) @ weights)


def _blocks(users: Ids) -> list[Ids]:
    return [users[first : first + _BLOCK] for first in range(0, users.size, _BLOCK)]


def _first(found: list[Found], limit: int, allowed: Allowed, user_of: Callable[[Found], int]) -> list[Found]:
    """The first `limit` of users who are allowed, in their order."""
    chosen: list[Found] = []
    step = max(1_000, 2 * limit)
    for first in range(0, len(found), step):
        part = found[first : first + step]
        users = allowed([user_of(one) for one in part])
        chosen += [one for one in part if user_of(one) in users]
        if len(chosen) >= limit:
            break
    return chosen[:limit]
