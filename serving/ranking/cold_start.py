"""Cold-start products: new products take the place of similar products that the model knows."""

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

MIN_SIMILARITY = 0.3
"""Below this similarity a known product is no stand-in."""
MAX_COMPARED = 500
"""Known products that a new one is compared with, the oldest first."""
MAX_STAND_INS = 5
"""Stand-ins of one new product."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class ColdStartProducts:
    """The products that a model does not know, each with known products that stand in for it.

    The similarity of two products, from 0 to 1, is the mean of: the same category (1), the same brand (1;
    left out where the new product has none), and the Jaccard similarity of the words of their names. Products
    of the same category are compared, or of the same brand where the category has no known product.
    """

    new_by_known: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    """Known product → the new products it stands in for, each with their similarity."""
    known_by_new: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    """New product → its stand-ins, each with their similarity, the most similar first."""

    @classmethod
    def of(cls, catalogue: Catalogue, model: LoadedModel, max_products: int = 5_000) -> ColdStartProducts:
        """Find the stand-ins of the `max_products` newest products that the model does not know."""
        unknown = np.flatnonzero((model.model.items_.index(catalogue.ids) < 0) & catalogue.shown)
        unknown = unknown[np.argsort(-catalogue.created[unknown], kind="stable")][:max_products]
        if unknown.size == 0:
            return cls()
        known = np.flatnonzero((model.model.items_.index(catalogue.ids) >= 0) & catalogue.shown)
        by_category = _rows_by_group(catalogue.category, known)
        by_brand = _rows_by_group(catalogue.brand, known)
        new_by_known: dict[int, list[tuple[int, float]]] = {}
        known_by_new: dict[int, list[tuple[int, float]]] = {}
        for row in unknown.tolist():
            category, brand = int(catalogue.category[row]), int(catalogue.brand[row])
            comparable = by_category.get(category) or by_brand.get(brand, [])
            ranked = sorted(
                ((_similarity(catalogue, row, other), other) for other in comparable[:MAX_COMPARED]),
                key=lambda pair: -pair[0],
            )
            nearest = [
                (int(catalogue.ids[other]), similarity)
                for similarity, other in ranked[:MAX_STAND_INS]
                if similarity >= MIN_SIMILARITY
            ]
            if nearest:
                product = int(catalogue.ids[row])
                known_by_new[product] = nearest
                for other, similarity in nearest:
                    new_by_known.setdefault(other, []).append((product, similarity))
        return cls(new_by_known, known_by_new)

    def stand_ins_of(self, products: Sequence[int]) -> list[int]:
        """Return the known products that stand in for the new ones among `products`."""
        return [other for product in products for other, _ in self.known_by_new.get(product, ())]

    def merge(
        self, entries: Sequence[Entry], catalogue: Catalogue, eligible: npt.NDArray[np.bool_]
    ) -> list[Entry]:
        """Return `entries` with the eligible new products, ordered by score.

        A new product's score is the highest product of a stand-in's score and their similarity; that stand-in
        is its evidence.

        Parameters
        ----------
        eligible : bool, shape (catalogue rows,)
        """
        by_product = {entry.product: entry for entry in entries}
        candidates: dict[int, list[tuple[float, Entry]]] = {}
        for product, entry in by_product.items():
            for new, similarity in self.new_by_known.get(product, ()):
                candidates.setdefault(new, []).append((entry.score * similarity, entry))
        added = []
        for new, scored in candidates.items():
            row = catalogue.row(new)
            if row < 0 or not eligible[row] or new in by_product:
                continue
            score, nearest = max(scored, key=lambda pair: pair[0])
            reason, evidence = _reason_of(nearest)
            added.append(Entry(new, round(score), Kind.CONTENT_BASED, reason, evidence, True))
        return sorted([*entries, *added], key=lambda entry: -entry.score) if added else list(entries)


def _reason_of(stand_in: Entry) -> tuple[ReasonCode, int]:
    """Return the reason and evidence of a new product from those of its stand-in."""
    if stand_in.reason in (ReasonCode.BECAUSE_BOUGHT, ReasonCode.BECAUSE_VIEWED):
        return stand_in.reason, stand_in.evidence
    if stand_in.reason is ReasonCode.BOUGHT_BEFORE:
        return ReasonCode.BECAUSE_BOUGHT, stand_in.product
    if stand_in.reason is ReasonCode.VIEWED_BEFORE:
        return ReasonCode.BECAUSE_VIEWED, stand_in.product
    return ReasonCode.SIMILAR_TO, stand_in.product


def _rows_by_group(column: npt.NDArray[np.int32], rows: npt.NDArray[np.int64]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for row, group in zip(rows.tolist(), column[rows].tolist(), strict=True):
        if group >= 0:
            groups.setdefault(group, []).append(row)
    return groups


def _similarity(catalogue: Catalogue, new: int, known: int) -> float:
    """Return the similarity of two catalogue rows, from 0 to 1."""
    words, others = _words(catalogue.names[new]), _words(catalogue.names[known])
    shared = len(words & others) / max(1, len(words | others))
    category = catalogue.category[new] >= 0 and catalogue.category[new] == catalogue.category[known]
    if catalogue.brand[new] < 0:
        return (float(category) + shared) / 2.0
    return (float(category) + float(catalogue.brand[new] == catalogue.brand[known]) + shared) / 3.0


def _words(name: str) -> set[str]:
    return set(_WORD.findall(name.casefold()))
