"""Lists that are served beside the model's own: where they differ, why, and what that is worth in NDCG.

The model's own list is its ranking of what can be shown. A served list may leave products of it out or hold
others, for reasons that are known of each product; what remains must stand in the order of the ranking. A
place that this does not explain counts as `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.ids import IdMap
from features.splitting.holdout import HeldOut, Question
from training.evaluation.metrics import find_hits, ndcg
from training.evaluation.summary import MeanEstimate, figures_from

__all__ = [
    "PLACES",
    "TOLERANCE",
    "Cause",
    "Knowledge",
    "ServedFigure",
    "ServedList",
    "explain_places",
    "served_figure",
]

PLACES = 20
"""So many first places are compared and judged."""
TOLERANCE = 0.01
"""NDCG that differs by no more than this share of the model's own counts as equal."""

Ids = npt.NDArray[np.int64]


class Cause(StrEnum):
    """Why a place of a served list holds another product than the model's own list.

    Attributes
    ----------
    POLICY
        Bought and not to be repeated, dismissed, or, for the question `new`, touched before.
    HIDDEN
        Hidden or gone from the catalogue since the list was made.
    FILLED
        A popular product, where the model has nothing more to say.
    NEWER
        Events, or a product, that came after the model learned.
    RULES
        A business rule of the shop holds for the answer.
    AB_TEST
        The answer is of an A/B test's challenger.
    DEADLINE
        The answer is the best there was within the deadline.
    OTHER
        None of these.
    """

    POLICY = "policy"
    HIDDEN = "hidden"
    FILLED = "filled"
    NEWER = "newer"
    RULES = "rules"
    AB_TEST = "ab_test"
    DEADLINE = "deadline"
    OTHER = "other"


@dataclass(frozen=True)
class ServedList:
    """One user's list of one question as it was read, best first.

    Attributes
    ----------
    products
        Their ids.
    popular
        Those of `products` that are there because they are popular.
    made_at
        Seconds since 1970-01-01 UTC: up to when it knows what the user did; None: up to now.
    excuse
        What explains a place that nothing else does.
    """

    products: Sequence[int]
    popular: Collection[int] = ()
    made_at: int | None = None
    excuse: Cause = Cause.OTHER


@dataclass(frozen=True)
class Knowledge:
    """What explains one user's lists of one question.

    Attributes
    ----------
    ranking
        The model's products that can be shown, best first, longer than the list.
    closed
        Products that the user must not be shown for this question, and why.
    shown
        Whether a product can be shown to anybody now.
    ranked
        Whether the model knows a product.
    """

    ranking: Sequence[int]
    closed: Mapping[int, Cause]
    shown: Callable[[int], bool]
    ranked: Callable[[int], bool]


def explain_places(served: ServedList, known: Knowledge, folded: Sequence[int] | None = None) -> list[Cause]:
    """The causes of the first `PLACES` places that differ from the model's own list, one for each.

    A product that is left out or put in moves all that follow: those places have its cause, up to the next.

    Parameters
    ----------
    served
        The list.
    known
        What explains it, the model's own list included.
    folded
        The ranking by what the user did until the list was made; where it explains more places than the
        model's own, the places that follow it differ because of newer events.
    """
    own = list(known.ranking[:PLACES])
    products: list[int | None] = list(served.products[:PLACES])
    products += [None] * (len(own) - len(products))
    causes = list(_walk(served, products, known, known.ranking))
    if folded is not None and Cause.OTHER in causes:
        again = list(_walk(served, products, known, folded))
        if again.count(Cause.OTHER) < causes.count(Cause.OTHER):
            causes = [cause or Cause.NEWER for cause in again]
    found = [
        cause or Cause.OTHER
        for place, cause in enumerate(causes)
        if place >= len(own) or products[place] != own[place]
    ]
    return [served.excuse if cause is Cause.OTHER else cause for cause in found]


def _walk(
    served: ServedList, products: Sequence[int | None], known: Knowledge, ranking: Sequence[int]
) -> Iterator[Cause | None]:
    """Of each place (None: an empty one) what moved it, None where nothing did, OTHER out of order."""
    listed, cause = set(served.products), None
    coming = iter(ranking)
    for product in products:
        if product is not None and (inserted := _inserted(product, served, known)) is not None:
            cause = inserted
            yield cause
            continue
        wanted = next(coming, None)
        while wanted is not None and wanted in known.closed and wanted not in listed:
            cause = known.closed[wanted]
            wanted = next(coming, None)
        if wanted is None and product in served.popular:
            yield Cause.FILLED
        else:
            yield cause if product == wanted else Cause.OTHER


def _inserted(product: int, served: ServedList, known: Knowledge) -> Cause | None:
    """Why the ranking cannot hold a product of the list; None where it can."""
    if not known.shown(product):
        return Cause.HIDDEN
    return Cause.NEWER if not known.ranked(product) and product not in served.popular else None


@dataclass(frozen=True)
class ServedFigure:
    """One way of reading the lists of one question, beside the model's own lists of the same users.

    Attributes
    ----------
    source
        `stored` (by rank), `table` (the documented SELECT) or `api` (HTTP).
    ndcg
        NDCG@20 of what was read, 0 to 1; NaN without a success.
    offline
        NDCG@20 of the model's own lists, 0 to 1; NaN without a success.
    places
        First places compared.
    differing
        How many of them hold another product.
    causes
        How many differ by which cause; they add up to `differing`.
    informed
        Lists that were made after their user's first success of the period: they know of it.
    """

    question: Question
    source: str
    users: int
    ndcg: MeanEstimate
    offline: MeanEstimate
    places: int
    differing: int
    causes: dict[str, int] = field(default_factory=dict)
    informed: int = 0

    @property
    def change(self) -> float:
        """What is served less what was promised, as a share of the latter; NaN where it is unknown."""
        if self.ndcg.value == self.offline.value:
            return 0.0
        return (self.ndcg.value - self.offline.value) / self.offline.value if self.offline.value else np.inf

    @property
    def agrees(self) -> bool:
        """Whether both differ by no more than `TOLERANCE`; True without users.

        Without a success: whether no more than that share of the places differs for an unknown reason.
        """
        if not self.users:
            return True
        if np.isnan(self.ndcg.value):
            return self.causes.get(Cause.OTHER, 0) <= TOLERANCE * self.places
        return abs(self.change) <= TOLERANCE


def served_figure(
    source: str,
    asked: HeldOut,
    items: IdMap,
    own: Mapping[int, Sequence[int]],
    read: Mapping[int, ServedList],
    causes: Mapping[int, Sequence[Cause]],
    *,
    draws: int,
    seed: int,
) -> ServedFigure:
    """The figure of the users of `read`.

    Parameters
    ----------
    source
        As in `ServedFigure`.
    asked
        The users of the question, and what is right for each.
    items
        The columns of `asked.relevant`.
    own
        The model's lists, by user.
    read
        The lists as they were read, by user.
    causes
        Of the places that differ, by user.
    draws, seed
        Of the bootstrap.
    """
    rows = np.flatnonzero(np.isin(asked.users, np.fromiter(read, np.int64, len(read))))
    users = asked.users[rows].tolist()
    right = asked.relevant[rows]
    lists = [[own[user] for user in users], [read[user].products for user in users]]
    values = np.hstack([_ndcg(each, right, items) for each in lists])
    offline, served = figures_from(values, [PLACES, PLACES], draws=draws, seed=seed)
    counts = {cause.value: sum(causes[user].count(cause) for user in users) for cause in Cause}
    informed = sum(
        first < np.iinfo(np.int64).max and (made is None or made * 1_000_000 >= first)
        for made, first in zip(
            (read[user].made_at for user in users), asked.asked_at[rows].tolist(), strict=True
        )
    )
    return ServedFigure(
        asked.question,
        source,
        len(users),
        served,
        offline,
        PLACES * len(users),
        sum(counts.values()),
        {cause: count for cause, count in counts.items() if count},
        informed,
    )


def _ndcg(lists: Sequence[Sequence[int]], right: sparse.csr_matrix, items: IdMap) -> npt.NDArray[np.float64]:
    """NDCG at `PLACES` of each list, float64 (users, 1)."""
    products: Ids = np.full((len(lists), PLACES), -1, dtype=np.int64)
    for row, one in enumerate(lists):
        products[row, : min(PLACES, len(one))] = one[:PLACES]
    sizes = np.diff(right.indptr).astype(np.int64)
    if not sizes.any():
        return np.full((len(lists), 1), np.nan)
    return ndcg(find_hits(items.index(products), right), sizes, [PLACES])
