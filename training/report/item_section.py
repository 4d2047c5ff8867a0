"""The report's section on lists that start from a product."""

from __future__ import annotations

from pydantic import Field

from training.report.sections import Part

__all__ = ["ItemListFigure", "ItemListModel", "ItemListSection"]


class ItemListFigure(Part):
    """A mean over people with its 95% bootstrap interval."""

    value: float
    low: float
    high: float


class ItemListModel(Part):
    """One model, or a floor, on one question."""

    model: str
    metrics: dict[str, ItemListFigure]
    """ndcg, hit_rate, stratified_ndcg (the more interactions a product has, the less it counts), precision,
    recall."""
    coverage: float
    """Share of the products that may be shown which are in some list."""
    leading_share: float
    """Share of the places that the ten most bought products take."""
    empty_share: float
    """Share of held-out pairs whose first product has no list."""


class ItemListSection(Part):
    """Products like one (`similar`), bought with one (`complements`), or missing from a cart (`cart`)."""

    question: str
    note: str
    """Where the held-out pairs come from."""
    k: int
    queries: int
    people: int
    models: list[ItemListModel] = Field(default_factory=list)
    """Best first, by NDCG."""
