"""What search takes in and answers over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from recsys.domains.products.schemas import ProductListItem
from recsys.own_ids.answers import WithSku
from recsys.own_ids.references import ProductRef
from recsys.search.analysis.analyser import LONGEST_TEXT
from recsys.web.validators import Input, Text

__all__ = [
    "ClickIn",
    "FacetOut",
    "FoundProduct",
    "FoundUser",
    "ProductsFound",
    "Suggestion",
    "Suggestions",
    "UsersFound",
]


class FoundProduct(ProductListItem):
    """A product that was found."""

    position: int = Field(description="Its place in the whole list, from 1; a click sends it back.")
    highlights: dict[str, str] = Field(
        default={}, description="By field, what matched, as safe HTML: `<mark>` is its only element."
    )


class FacetOut(BaseModel):
    """So many of what was found share a value."""

    value: str = Field(
        description="An id (category, brand), a tag, the begin of a range of prices, or a least rating."
    )
    name: str = Field(description="The value in words.")
    count: int


class ProductsFound(BaseModel):
    """One page of products that were found."""

    search_id: UUID = Field(description="Send it back with clicks.")
    query: str = Field(description="The words that were searched for.")
    total: int
    items: list[FoundProduct]
    facets: dict[str, list[FacetOut]] = {}
    did_you_mean: str | None = Field(default=None, description="What a misspelt query probably meant.")
    any_word: bool = Field(default=False, description="Nothing has all the words; these have one of them.")
    personalised: bool = Field(default=False, description="In the order of the user's taste.")
    message: str | None = Field(default=None, description="Why nothing was searched for.")
    degraded: str | None = Field(
        default=None, description="Search is down: what is shown in its place, and why."
    )
    next_cursor: str | None = Field(description="Send it back as `cursor` for the next page.")


class Suggestion(WithSku):
    """A product's name that completes what was typed."""

    text: str
    product_id: int


class Suggestions(BaseModel):
    """Completions, the more popular first."""

    suggestions: list[Suggestion]
    message: str | None = Field(default=None, description="Why nothing was searched for.")
    degraded: str | None = Field(default=None, description="Search is down.")


class FoundUser(BaseModel):
    """A user that was found."""

    id: int
    username: str
    full_name: str
    is_active: bool | None
    is_online: bool | None
    followers_count: int
    following_count: int
    kilometres: float | None = Field(description="How far away, when a place was given.")
    created_at: datetime | None


class UsersFound(BaseModel):
    """One page of users that were found."""

    total: int
    items: list[FoundUser]
    message: str | None = Field(default=None, description="Why nothing was searched for.")
    next_cursor: str | None = Field(description="Send it back as `cursor` for the next page.")


class ClickIn(Input):
    """That a product of a search was opened; the same sent twice counts once."""

    search_id: UUID
    query: Annotated[Text, Field(max_length=LONGEST_TEXT)] = ""
    product_id: ProductRef
    position: Annotated[int | None, Field(strict=True, ge=1, le=100_000)] = None
