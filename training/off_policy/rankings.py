"""What a model ranks for the visitor of each logged list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from sqlalchemy.orm import Session

from features.build.builder import weights_of
from features.interactions import History
from features.user_history import guest_history, histories
from models.base import Exclude, Recommender
from recsys.settings import get_settings
from training.off_policy.filters import OF_PRODUCTS, passing
from training.off_policy.log import DrawnLists
from training.off_policy.target import TargetLists, padded

__all__ = ["lists_by"]

Ids = npt.NDArray[np.int64]
_BLOCK = 500
"""Visitors whose whole rankings are held in memory at once."""


def lists_by(
    session: Session, model: Recommender, drawn: DrawnLists, *, depth: int, temperature: float, rerank: bool
) -> tuple[TargetLists, int]:
    """What the model ranks for each list.

    Users whom the model knows are ranked by the history of its training data, guests and other users by what
    they did before the list. Products that the model does not rank, all of them for visitors without a
    history, follow in the order of the log: whichever model serves, popular products complete a list.

    Parameters
    ----------
    depth
        So many products from the top, among those on sale that pass the filters of the list.
    temperature
        Of the target's draw.
    rerank
        The model ranks the candidates of the list instead.

    Returns
    -------
    lists : TargetLists
        In the order of `drawn`.
    without : int
        For how many lists the model ranks nothing.
    """
    orders: list[Ids] = [np.empty(0, np.int64)] * len(drawn)
    for rows in _by_filters(drawn):
        filters = drawn.filters[rows[0]]
        only = None if rerank else passing(session, filters)
        if only is not None and not only.size:
            continue
        excluded = max(len(drawn.filters[row].get("exclude", ())) for row in rows)
        most = len(model.items_) if rerank else depth + excluded
        exclude: Exclude = "seen" if filters.get("novelty") == "new" else None
        for row, ranked in _ranked(session, model, drawn, rows, most, exclude, only):
            candidates = drawn.lists.candidates[row] if rerank else None
            orders[row] = _chosen(ranked, drawn.filters[row], candidates)
    completed = []
    for order, candidates in zip(orders, drawn.lists.candidates, strict=True):
        listed = candidates[candidates >= 0]
        whole = np.concatenate([order, listed[~np.isin(listed, order)]])
        completed.append(whole if rerank else whole[:depth])
    width = max(each.size for each in completed)
    return TargetLists(padded(completed, width), temperature), sum(not order.size for order in orders)


def _by_filters(drawn: DrawnLists) -> list[list[int]]:
    """The rows of lists with the same filters of products and the same novelty."""
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for row, filters in enumerate(drawn.filters):
        shared = {name: filters[name] for name in (*OF_PRODUCTS, "novelty") if name in filters}
        groups[orjson.dumps(shared)].append(row)
    return list(groups.values())


def _chosen(ranked: Ids, filters: dict[str, Any], candidates: Ids | None) -> Ids:
    order = ranked[ranked >= 0]
    if "exclude" in filters:
        order = order[~np.isin(order, filters["exclude"])]
    return order if candidates is None else order[np.isin(order, candidates)]


def _ranked(
    session: Session,
    model: Recommender,
    drawn: DrawnLists,
    rows: Sequence[int],
    most: int,
    exclude: Exclude,
    only: Ids | None,
) -> Iterator[tuple[int, Ids]]:
    """Yield what the model ranks for each of these lists that it ranks, best first; -1 behind the last."""
    visitors = drawn.lists.visitors[rows]
    is_known = model.users_.index(visitors) >= 0
    known = np.array(rows)[is_known]
    users, place = np.unique(visitors[is_known], return_inverse=True)
    for first in range(0, users.size, _BLOCK):
        ranked = model.recommend(users[first : first + _BLOCK], most, exclude=exclude, only=only).products
        for at in np.flatnonzero((place >= first) & (place < first + _BLOCK)).tolist():
            yield int(known[at]), ranked[place[at] - first]
    others = np.array(rows)[~is_known].tolist()
    for first in range(0, len(others), _BLOCK):
        past = [(row, _before(session, model, drawn, row)) for row in others[first : first + _BLOCK]]
        active = [(row, history) for row, history in past if history.products.size]
        if active:
            ranked = model.recommend_from(
                [each for _, each in active], most, exclude=exclude, only=only
            ).products
            yield from zip([row for row, _ in active], ranked, strict=True)


def _before(session: Session, model: Recommender, drawn: DrawnLists, row: int) -> History:
    """What the visitor of a list did before it."""
    weights, guest = weights_of(get_settings()), drawn.sessions[row]
    if guest is None:
        user = int(drawn.lists.visitors[row])
        [history] = histories(session, [user], weights, model.moment_, limit=None)
    else:
        history = guest_history(session, guest, weights, model.moment_, limit=None)
    earlier = history.times < drawn.moments[row]
    return History(history.products[earlier], history.weights[earlier], history.times[earlier])
