"""What may appear in whose list."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.interactions.recent import Recent
from recsys.domains.recommendations.stored_lists.codec import Entry
from serving.catalogue.catalogue import Catalogue

__all__ = ["Novelty", "SeenProducts", "excluded_by_repeat_policy"]


class Novelty(StrEnum):
    """Which question a list answers; each has a ranking, a calibration and a stored list of its own.

    `any`: what was bought may appear if its category allows; `new`: only what the user never touched.
    """

    ANY = "any"
    NEW = "new"

    @property
    def excluded(self) -> Literal["seen"] | None:
        """What a model is asked to leave out: by that it knows the question."""
        return "seen" if self is Novelty.NEW else None


@dataclass(frozen=True)
class SeenProducts:
    """What is known of one user's past when an answer is made; stored entries know of an older past."""

    touched: Collection[int] = field(default_factory=frozenset)
    bought: Collection[int] = field(default_factory=frozenset)
    dismissed: Collection[int] = field(default_factory=frozenset)

    @classmethod
    def of_recent(cls, members: Collection[bytes]) -> SeenProducts:
        """From what Redis knows of the time since the list was made."""
        if not members:
            return _NOTHING
        recent = Recent.read(members)
        return cls(recent.touched, recent.bought, recent.dismissed)

    def and_also(self, other: SeenProducts) -> SeenProducts:
        """Both pasts together."""
        return SeenProducts(
            {*self.touched, *other.touched},
            {*self.bought, *other.bought},
            {*self.dismissed, *other.dismissed},
        )

    def first(
        self, catalogue: Catalogue, entries: Iterable[Entry], limit: int, novelty: Novelty
    ) -> list[Entry]:
        """The first `limit` entries that this user may see."""
        return self.cut(catalogue, entries, limit, novelty)[0]

    def cut(
        self,
        catalogue: Catalogue,
        entries: Iterable[Entry],
        limit: int,
        novelty: Novelty,
        hidden: Collection[int] = (),
    ) -> tuple[list[Entry], int]:
        """`first` (limit at least 1) of what is not hidden besides, and how many entries were looked at.

        What may be seen is active, sellable, not dismissed, and allowed by the repeat policy and the novelty
        asked for. One loop, since each stored list goes through it.
        """
        cards, dismissed, bought = catalogue.cards, self.dismissed, self.bought
        touched = self.touched if novelty is Novelty.NEW else None
        found: list[Entry] = []
        looked = 0
        for looked, entry in enumerate(entries, 1):  # noqa: B007 said to the caller
            product, _, _, _, _, novel, was_bought = entry
            card = cards.get(product)
            if card is None or product in dismissed or product in hidden:
                continue
            if touched is not None and (not novel or product in touched):
                continue
            if not card.repeats and (was_bought or product in bought):
                continue
            found.append(entry)
            if len(found) == limit:
                break
        return found, looked

    def closed(self, catalogue: Catalogue, novelty: Novelty) -> dict[str, npt.NDArray[np.bool_]]:
        """The rows of the catalogue that this user must not be shown, by why; bool, a row each."""
        bought = _ids(self.bought)
        closed = {
            "dismissed": catalogue.mark(self.dismissed),
            "bought": catalogue.mark(bought[excluded_by_repeat_policy(catalogue, bought)].tolist()),
        }
        if novelty is Novelty.NEW:
            closed["not_new"] = catalogue.mark(self.touched)
        return closed


_NOTHING = SeenProducts()


def excluded_by_repeat_policy(catalogue: Catalogue, bought: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether each product, since it was bought, must not appear again; bool, same shape."""
    if len(catalogue) == 0:
        return np.zeros(bought.shape, dtype=bool)
    rows = catalogue.rows(bought)
    return (rows >= 0) & ~catalogue.repeats[rows]


def _ids(products: Collection[int]) -> npt.NDArray[np.int64]:
    return np.fromiter(products, np.int64, len(products))
