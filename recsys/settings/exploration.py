"""Settings of exploration: which lists are drawn, so that other models can be evaluated on them."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["ExplorationSettings"]


class ExplorationSettings(BaseModel, extra="forbid"):
    """Lists whose order is drawn at random, with the propensity of each place; off by default.

    share : of the lists that are answered, so many are drawn; at most 0.5.
    temperature : in places: the product so many places further down is drawn e times less often.
    depth : so many products of a list, from the top, are drawn from.
    """

    share: float = Field(default=0.0, ge=0, le=0.5)
    temperature: float = Field(default=10.0, ge=0.1, le=100)
    depth: int = Field(default=50, ge=2, le=300)
