"""The answers of the serving API, as its documentation shows them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

__all__ = ["Health", "ItemOut", "ProvenanceOut", "ReasonOut", "RecommendationsOut"]


class ReasonOut(BaseModel):
    """Why the product is in the list."""

    code: str = Field(
        examples=["because_bought"],
        description="`popular`, `because_bought`, `because_viewed`, `bought_before`, `viewed_before`, "
        "`similar_to` or `chosen`.",
    )
    text: str = Field(examples=["Because you bought Coffee 12 OZ"], max_length=100)
    product_ids: list[int] = Field(examples=[[17]], description="The products that the text speaks of.")


class ItemOut(BaseModel):
    """One recommended product."""

    product_id: int = Field(examples=[42])
    name: str = Field(examples=["Filter papers 100 CT"])
    price: float = Field(
        examples=[2.49], description="In the shop's currency: a JSON number of at most two decimals."
    )
    score: float = Field(
        examples=[0.2133],
        ge=0,
        le=1,
        description="The calibrated chance that the user takes the product up; of popular products the share "
        "of people who chose them lately; of similar ones their likeness.",
    )
    type: Literal["collaborative", "content_based", "popular", "similar"]
    reason: ReasonOut


class ProvenanceOut(BaseModel):
    """Where the list comes from."""

    request_id: str = Field(examples=["5f0c1d9e8b7a4f36a1b2c3d4e5f60718"])
    source: Literal["stored", "live", "popular"] = Field(
        description="`stored`: made before; `live`: made now from what they did; `popular`: for everybody."
    )
    model: str | None = Field(
        examples=["als-v3"], description="The registered model; null for popular lists."
    )
    version: str | None = Field(examples=["3"])
    generation: int | None = Field(examples=[12], description="The set of stored lists; null unless stored.")


class RecommendationsOut(BaseModel):
    """A list, best first, and where it comes from."""

    items: list[ItemOut]
    provenance: ProvenanceOut


class PartOut(BaseModel):
    """How one part is."""

    well: bool
    detail: str


class Health(BaseModel):
    """`degraded`: answers come, but not as good or as fresh as they could be."""

    status: Literal["ready", "degraded", "live"]
    parts: dict[str, PartOut] = {}
