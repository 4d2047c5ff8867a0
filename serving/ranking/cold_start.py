"""Products that the model has not seen, by their likeness to those that it has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import Entry
from serving.catalogue.catalogue import Catalogue
from serving.state.active_model import LoadedModel

__all__ = ["ColdStartProducts"]

LEAST = 0.3
"""A product less like another than this is not taken for it."""
COMPARED = 500
"""With so many known products a new one is compared at most, the oldest first."""
NEAREST = 5
"""So many known products stand in for a new one."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class ColdStartProducts:
    """Of each product of the catalogue that a model does not know, the known ones that stand in for it.

    The likeness of two products is the mean of: the same category (1), the same brand (1; left out where the
    new one has none), the shared part of the words of their names (Jaccard). Products of one category are
    compared, or of one brand where the category has none.
    """

    stand_ins: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    """Known product → the new ones it stands in for, and how like they are (0..1)."""
    likeness: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    """The same the other way round, the nearest first."""

    @classmethod
    def of(cls, catalogue: Catalogue, loaded: LoadedModel, most: int = 5_000) -> ColdStartProducts:
        """Of at most so many products, the newest."""
        unknown = np.flatnonzero((loaded.model.items_.index(catalogue.ids) < 0) & catalogue.shown)
        unknown = unknown[np.argsort(-catalogue.created[unknown], kind="stable")][:most]
        if unknown.size == 0:
            return cls()
        known = np.flatnonzero((loaded.model.items_.index(catalogue.ids) >= 0) & catalogue.shown)
        by_category = _grouped(catalogue.category, known)
        by_brand = _grouped(catalogue.brand, known)
        stand_ins: dict[int, list[tuple[int, float]]] = {}
        likeness: dict[int, list[tuple[int, float]]] = {}
        for row in unknown.tolist():
            category, brand = int(catalogue.category[row]), int(catalogue.brand[row])
            near = by_category.get(category) or by_brand.get(brand, [])
            found = sorted(
                ((_likeness(catalogue, row, other), other) for other in near[:COMPARED]),
                key=lambda one: -one[0],
            )
            nearest = [
                (int(catalogue.ids[other]), likely) for likely, other in found[:NEAREST] if likely >= LEAST
            ]
            if nearest:
                product = int(catalogue.ids[row])
                likeness[product] = nearest
                for other, likely in nearest:
                    stand_ins.setdefault(other, []).append((product, likely))
        return cls(stand_ins, likeness)

    def stood_in_for(self, products: Sequence[int]) -> list[int]:
        """The known products that stand in for new ones among these."""
        return [other for product in products for other, _ in self.likeness.get(product, ())]

    def among(self, entries: Sequence[Entry], allowed: Catalogue, mask: npt.NDArray[np.bool_]) -> list[Entry]:
        """`entries` with the new products that may be shown where their likeness puts them.

        A new product's score is that of a stand-in times its likeness to it, the highest of these; that
        stand-in is its evidence.
        """
        scores = {one.product: one for one in entries}
        found: dict[int, list[tuple[float, Entry]]] = {}
        for product, one in scores.items():
            for new, likely in self.stand_ins.get(product, ()):
                found.setdefault(new, []).append((one.score * likely, one))
        added = []
        for new, parts in found.items():
            row = allowed.row(new)
            if row < 0 or not mask[row] or new in scores:
                continue
            score, nearest = max(parts, key=lambda part: part[0])
            reason, evidence = _said(nearest)
            added.append(Entry(new, round(score), Kind.CONTENT_BASED, reason, evidence, True))
        return sorted([*entries, *added], key=lambda one: -one.score) if added else list(entries)


def _said(stand_in: Entry) -> tuple[ReasonCode, int]:
    """Why a product that this one stands in for is in the list."""
    if stand_in.reason in (ReasonCode.BECAUSE_BOUGHT, ReasonCode.BECAUSE_VIEWED):
        return stand_in.reason, stand_in.evidence
    if stand_in.reason is ReasonCode.BOUGHT_BEFORE:
        return ReasonCode.BECAUSE_BOUGHT, stand_in.product
    if stand_in.reason is ReasonCode.VIEWED_BEFORE:
        return ReasonCode.BECAUSE_VIEWED, stand_in.product
    return ReasonCode.SIMILAR_TO, stand_in.product


def _grouped(column: npt.NDArray[np.int32], rows: npt.NDArray[np.int64]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for row, group in zip(rows.tolist(), column[rows].tolist(), strict=True):
        if group >= 0:
            groups.setdefault(group, []).append(row)
    return groups


def _likeness(catalogue: Catalogue, one: int, other: int) -> float:
    """Of the row `one`, which is new, to the row `other`."""
    words, others = _words(catalogue.names[one]), _words(catalogue.names[other])
    shared = len(words & others) / max(1, len(words | others))
    category = catalogue.category[one] >= 0 and catalogue.category[one] == catalogue.category[other]
    if catalogue.brand[one] < 0:
        return (float(category) + shared) / 2.0
    return (float(category) + float(catalogue.brand[one] == catalogue.brand[other]) + shared) / 3.0


def _words(name: str) -> set[str]:
    return set(_WORD.findall(name.casefold()))
