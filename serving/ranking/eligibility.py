"""Which products are eligible for a user: by novelty, by what they bought and dismissed, by repeat policy."""

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
    """Whether a list may repeat products; each value has its own ranking, calibration and stored list.

    `any`: bought products may appear if the repeat policy of their category allows; `new`: only products
    without an interaction of the user.
    """

    ANY = "any"
    NEW = "new"

    @property
    def excluded(self) -> Literal["seen"] | None:
        """The argument `exclude` of a model's rankings."""
        return "seen" if self is Novelty.NEW else None


@dataclass(frozen=True)
class SeenProducts:
    """Ids of the products that one user or guest interacted with (touched), bought and dismissed."""

    touched: Collection[int] = field(default_factory=frozenset)
    bought: Collection[int] = field(default_factory=frozenset)
    dismissed: Collection[int] = field(default_factory=frozenset)

    @classmethod
    def of_recent(cls, members: Collection[bytes]) -> SeenProducts:
        """Read the members of Redis' set of interactions since the stored list was made."""
        if not members:
            return _NO_PRODUCTS
        recent = Recent.read(members)
        return cls(recent.touched, recent.bought, recent.dismissed)

    def union(self, other: SeenProducts) -> SeenProducts:
        """Return the union of both."""
        return SeenProducts(
            {*self.touched, *other.touched},
            {*self.bought, *other.bought},
            {*self.dismissed, *other.dismissed},
        )

    def first_eligible(
        self,
        catalogue: Catalogue,
        entries: Iterable[Entry],
        limit: int,
        novelty: Novelty,
        hidden: Collection[int] = (),
    ) -> tuple[list[Entry], int]:
        """Return the first `limit` (at least 1) eligible entries, and how many entries were examined.

        Eligible products are on sale, not dismissed or hidden, and allowed by repeat policy and novelty.
        One loop without helpers, since every stored list runs through it.
        """
        summaries, dismissed, bought = catalogue.summaries, self.dismissed, self.bought
        touched = self.touched if novelty is Novelty.NEW else None
        eligible: list[Entry] = []
        examined = 0
        for examined, entry in enumerate(entries, 1):  # noqa: B007 returned
            product, _, _, _, _, novel, was_bought = entry
            summary = summaries[product]
            if summary is None or product in dismissed or product in hidden:
                continue
            if touched is not None and (not novel or product in touched):
                continue
            if not summary.repeats and (was_bought or product in bought):
                continue
            eligible.append(entry)
            if len(eligible) == limit:
                break
        return eligible, examined

    def excluded(self, catalogue: Catalogue, novelty: Novelty) -> dict[str, npt.NDArray[np.bool_]]:
        """Return the products that are not eligible for this user, by reason; bool (catalogue rows,) each.

        What nobody did is no reason: a mask of the catalogue takes longer than most of what follows.
        """
        excluded = {}
        if self.dismissed:
            excluded["dismissed"] = catalogue.mark(self.dismissed)
        if self.bought:
            bought = np.fromiter(self.bought, np.int64, len(self.bought))
            no_repeat = excluded_by_repeat_policy(catalogue, bought)
            excluded["bought"] = catalogue.mark(bought[no_repeat].tolist())
        if self.touched and novelty is Novelty.NEW:
            excluded["not_new"] = catalogue.mark(self.touched)
        return excluded


_NO_PRODUCTS = SeenProducts()


def excluded_by_repeat_policy(catalogue: Catalogue, bought: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return whether each bought product must not appear again; bool, same shape."""
    if len(catalogue) == 0:
        return np.zeros(bought.shape, dtype=bool)
    rows = catalogue.rows(bought)
    return (rows >= 0) & ~catalogue.repeats[rows]
