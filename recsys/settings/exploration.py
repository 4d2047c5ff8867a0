"""Settings of exploration: lists that are drawn at random, and places for new products."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["ExplorationSettings"]


class ExplorationSettings(BaseModel, extra="forbid"):
    """Lists drawn at random, with the propensity of each place, and places for new products; off by default.

    Attributes
    ----------
    share
        Of the lists that are answered, so many are drawn; at most 0.5.
    temperature
        In places: the product so many places further down is drawn e times less often.
    depth
        So many products of a list, from the top, are drawn from.
    new_product_share
        Of the places of a page, so many at most are given to new products, those that may be clicked most
        (Thompson sampling); at most 0.3.
    new_product_days
        A product is new so long.
    """

    share: float = Field(default=0.0, ge=0, le=0.5)
    temperature: float = Field(default=10.0, ge=0.1, le=100)
    depth: int = Field(default=50, ge=2, le=300)
    new_product_share: float = Field(default=0.0, ge=0, le=0.3)
    new_product_days: float = Field(default=30.0, gt=0, le=365)
