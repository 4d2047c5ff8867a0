"""What may appear in whose list."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.lists import Entry
from recsys.domains.recommendations.recent import Recent
from serving.catalogue import Catalogue

__all__ = ["Novelty", "Visitor", "barred_by_policy"]


class Novelty(StrEnum):
    """`any`: what was bought may appear if its category allows; `new`: only what the user never touched."""

    ANY = "any"
    NEW = "new"


@dataclass(frozen=True)
class Visitor:
    """What is known of one user's past when an answer is made; stored entries know of an older past."""

    touched: Collection[int] = field(default_factory=frozenset)
    bought: Collection[int] = field(default_factory=frozenset)
    dismissed: Collection[int] = field(default_factory=frozenset)

    @classmethod
    def of_recent(cls, members: Iterable[bytes]) -> Visitor:
        """From what Redis knows of the time since the list was made."""
        recent = Recent.read(members)
        return cls(recent.touched, recent.bought, recent.dismissed)

    def and_also(self, other: Visitor) -> Visitor:
        """Both pasts together."""
        return Visitor(
            {*self.touched, *other.touched},
            {*self.bought, *other.bought},
            {*self.dismissed, *other.dismissed},
        )

    def may_see(self, catalogue: Catalogue, entry: Entry, novelty: Novelty) -> bool:
        """Active, sellable, not dismissed, and allowed by the repeat policy and the novelty asked for."""
        card = catalogue.cards.get(entry.product)
        if card is None or entry.product in self.dismissed:
            return False
        if novelty is Novelty.NEW and (not entry.novel or entry.product in self.touched):
            return False
        return card.repeats or not (entry.bought or entry.product in self.bought)

    def first(
        self, catalogue: Catalogue, entries: Iterable[Entry], limit: int, novelty: Novelty
    ) -> list[Entry]:
        """The first `limit` entries that this user may see."""
        return list(islice((one for one in entries if self.may_see(catalogue, one, novelty)), limit))

    def closed(self, catalogue: Catalogue, novelty: Novelty) -> dict[str, npt.NDArray[np.bool_]]:
        """The rows of the catalogue that this user must not be shown, by why; bool, a row each."""
        bought = _ids(self.bought)
        closed = {
            "dismissed": catalogue.mark(self.dismissed),
            "bought": catalogue.mark(bought[barred_by_policy(catalogue, bought)].tolist()),
        }
        if novelty is Novelty.NEW:
            closed["not_new"] = catalogue.mark(self.touched)
        return closed


def barred_by_policy(catalogue: Catalogue, bought: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether each product, since it was bought, must not appear again; bool, same shape."""
    if len(catalogue) == 0:
        return np.zeros(bought.shape, dtype=bool)
    rows = catalogue.rows(bought)
    return (rows >= 0) & ~catalogue.repeats[rows]


def _ids(products: Collection[int]) -> npt.NDArray[np.int64]:
    return np.fromiter(products, np.int64, len(products))
