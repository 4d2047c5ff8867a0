"""What people go on to from a product, as a part of lists that start from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.ids import distinct
from features.splitting.occasions import PURCHASE, visits_of
from models.algorithms.neighbourhood.co_visitation_by_type import (
    CoVisitationByType,
    CoVisitationByTypeParameters,
)
from models.algorithms.shared.item_lists import Kept
from models.algorithms.shared.lift import nearest

__all__ = ["in_order", "looked_at", "next_steps"]

Floats = npt.NDArray[np.float64]

REVERSE = 0.5
"""Weight of a step back beside one forth. Of 1, .5 and .25, RetailRocket's log liked 1 by 4% (NDCG@10 of the
next product of a visit), generated logs with a direction .5 and .25 by 27%."""

ENOUGH_VISITS = 20
"""With fewer visits to two products, the order of views says nothing yet."""


def looked_at(dataset: Dataset, weight: npt.NDArray[np.float32]) -> dict[str, float]:
    """The weights of interaction types other than purchases, where enough visits hold two products of these.

    Parameters
    ----------
    weight : float32, shape (events,)

    Returns
    -------
    dict
        Empty where visits are too few.
    """
    liked = dataset.events.take((weight > 0) & (np.asarray(dataset.events.kind) != PURCHASE))
    visit, item = visits_of(liked), np.asarray(liked.item, dtype=np.int64)
    items, inside = len(dataset.items), visit >= 0
    of_visit = distinct(visit[inside] * items + item[inside]) // items
    if int((np.bincount(of_visit) >= 2).sum()) < ENOUGH_VISITS:
        return {}
    weights = dict(CoVisitationByTypeParameters().source)
    return weights | {"purchase": 0.0}


def next_steps(
    dataset: Dataset, neighbours: int, by_type: Mapping[str, float] | None = None
) -> sparse.csr_matrix:
    """Directed co-visitation, as `CoVisitationByType` learns it.

    Parameters
    ----------
    neighbours
        Twice as many are kept per item.
    by_type
        Weights of interaction types, in place of that model's own.

    Returns
    -------
    csr float32, shape (items, items)
    """
    chosen = CoVisitationByTypeParameters(neighbours=2 * neighbours, reverse=REVERSE)
    if by_type is not None:
        chosen = replace(chosen, source=by_type, target=by_type)
    return CoVisitationByType(chosen).fit(dataset).weights_


def in_order(found: Sequence[Kept], steps: sparse.csr_matrix, weight: float, neighbours: int) -> Kept:
    """The kept pairs and those of `steps`, each divided by its median, `steps` times `weight`, added.

    The strongest `neighbours` of each row stay. The support of a pair that only `steps` has is 0.
    """
    row, column, strength, support = (np.concatenate(parts) for parts in zip(*found, strict=True))
    steps = sparse.csr_matrix(steps)
    steps.eliminate_zeros()
    if not steps.nnz:
        return Kept(row, column, strength, support)
    items = steps.shape[1]
    owner = np.repeat(np.arange(items, dtype=np.int64), np.diff(steps.indptr))
    middle = float(np.median(strength)) if strength.size else 1.0
    value = steps.data.astype(np.float64)
    keys, place = np.unique(
        np.concatenate([row * items + column, owner * items + steps.indices]), return_inverse=True
    )
    amount = np.concatenate([strength / middle, weight / float(np.median(value)) * value])
    total: Floats = np.bincount(place, weights=amount).astype(np.float64)
    counts: Floats = np.bincount(place, weights=np.append(support, np.zeros(value.size))).astype(np.float64)
    left, right = np.divmod(keys, items)
    best = nearest(left, right, total, neighbours)
    return Kept(left[best], right[best], total[best], counts[best])
