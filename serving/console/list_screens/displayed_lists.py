"""Lists as the screens display them: products with scores, reasons, parts of the scores, and provenance."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cachetools import LRUCache
from pydantic import BaseModel

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.reasons import reason
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from serving.catalogue.catalogue import Catalogue
from serving.recommender.response import RecommendationResponse
from serving.state.active_model import LoadedModel

__all__ = [
    "ComparedModels",
    "DisplayedList",
    "DisplayedProduct",
    "ScorePart",
    "displayed",
    "parts_of_score",
    "products_of",
]


class ScorePart(BaseModel):
    """One part of a score, in the model's own units: a product of the history, or everything else."""

    label: str
    value: float


class DisplayedProduct(BaseModel):
    """One product of a list.

    Attributes
    ----------
    parts_scale
        The sum of parts that fills the width of a score of 1.
    rules
        The names of the rules that placed it.
    is_shared
        Whether the list beside it has the product, too.
    change
        Of the position, such as "up 2".
    """

    position: int
    product_id: int
    sku: str | None
    name: str
    price: float | None
    category: str | None
    image: str | None
    score: float
    reason: str
    parts: list[ScorePart] = []
    parts_scale: float | None = None
    rules: list[str] = []
    is_shared: bool | None = None
    change: str | None = None


class DisplayedList(BaseModel):
    """A list and where it comes from.

    Attributes
    ----------
    removed
        How many products were filtered out, by reason.
    left
        Number and name of products that are no longer in it.
    """

    title: str
    source: str
    model: str | None
    generation: int | None
    arm: str | None
    made_at: datetime | None
    products: list[DisplayedProduct]
    removed: dict[str, int] | None = None
    left: list[tuple[int, str]] = []


def displayed(
    title: str,
    catalogue: Catalogue,
    response: RecommendationResponse,
    parts: Mapping[int, Mapping[str, Any]] | None = None,
) -> DisplayedList:
    """Return a response as it is displayed.

    Parameters
    ----------
    parts
        By product the parts of its score, as `explain=true` returns them.
    """
    return DisplayedList(
        title=title,
        source=response.source,
        model=response.model,
        generation=response.generation,
        arm=response.arm,
        made_at=datetime.fromtimestamp(response.made_at, UTC) if response.made_at else None,
        products=products_of(catalogue, response.entries, parts or {}),
        removed=None if response.filtered_out is None else dict(response.filtered_out),
    )


def products_of(
    catalogue: Catalogue,
    entries: Sequence[Entry],
    parts: Mapping[int, Mapping[str, Any]] | None = None,
    beside: Collection[int] | None = None,
    rules: Mapping[int, Sequence[str]] | None = None,
) -> list[DisplayedProduct]:
    """Return entries as they are displayed; products that left the shop are left out.

    Parameters
    ----------
    parts
        By product the parts of its score, as a response has them.
    beside
        The products of the list beside it.
    rules
        The names of rules that placed each product.
    """
    rows = []
    for position, entry in enumerate(entries, 1):
        name, sku = catalogue.label(entry.product)
        if name is None:
            continue
        summary = catalogue.summaries.get(entry.product)
        details = None if summary is None else summary.details
        score_parts = parts_of_score(catalogue, (parts or {}).get(entry.product))
        total = sum(max(0.0, part.value) for part in score_parts)
        rows.append(
            DisplayedProduct(
                position=position,
                product_id=entry.product,
                sku=sku,
                name=name,
                price=None if summary is None else summary.price,
                category=None if details is None else details.category,
                image=None if details is None else details.image,
                score=entry.score / SCORE_UNIT,
                reason=reason(entry.reason, entry.evidence, catalogue.name(entry.evidence))["text"],
                parts=score_parts,
                parts_scale=total * SCORE_UNIT / entry.score if entry.score and total else None,
                rules=list((rules or {}).get(entry.product, ())),
                is_shared=None if beside is None else entry.product in beside,
            )
        )
    return rows


def parts_of_score(catalogue: Catalogue, explanation: Mapping[str, Any] | None) -> list[ScorePart]:
    """The products of the history that add most, then everything else together; the largest first."""
    if not explanation or "parts" not in explanation:
        return []
    named = [
        ScorePart(label=catalogue.name(part["product_id"]) or "a deleted product", value=part["adds"])
        for part in explanation["parts"]
    ]
    rest = explanation["baseline"] + explanation["others"]
    return [*named, ScorePart(label="everything else", value=rest)]


class ComparedModels:
    """Registered models that are loaded to be compared; the least recently used is dropped. Thread-safe."""

    CAPACITY = 2

    def __init__(self) -> None:
        self._loaded: LRUCache[tuple[int, str], LoadedModel] = LRUCache(self.CAPACITY)
        self._lock = threading.Lock()

    def get(self, name: str) -> LoadedModel:
        """Return a model by name. Raises NotFound, and Invalid when its artifact is damaged."""
        with unit_of_work() as session:
            registered = registry.get(session, name)
        key = registered.id, registered.checksum
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = LoadedModel.load(registered)
            return self._loaded[key]
