"""What search takes in and answers over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from recsys.domains.products.schemas import ChosenProduct, ProductListItem
from recsys.own_ids.answers import WithSku
from recsys.own_ids.references import ProductRef
from recsys.search.analysis.analyser import LONGEST_TEXT
from recsys.web.validators import Input, Text

__all__ = [
    "ChosenFoundProduct",
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

    position: int = Field(description="Position in the whole list, from 1; send it with a click.")
    highlights: dict[str, str] = Field(
        default={}, description="Matched text by field, as safe HTML with `<mark>` as the only element."
    )


class ChosenFoundProduct(ChosenProduct):
    """A product that was found, with the fields that `fields` asks for."""

    position: int
    highlights: dict[str, str] = Field(default={})


class FacetOut(BaseModel):
    """A value of a facet and the number of products that have it."""

    value: str = Field(
        description="An id (category, brand), a tag, the start of a price range, or a minimum rating."
    )
    name: str = Field(description="Label of the value.")
    count: int


class ProductsFound(BaseModel):
    """One page of products that were found."""

    search_id: UUID = Field(description="Id of the search; send it with clicks.")
    query: str = Field(description="The words of the query.")
    total: int
    items: list[FoundProduct | ChosenFoundProduct]
    facets: dict[str, list[FacetOut]] = {}
    did_you_mean: str | None = Field(default=None, description="Suggested spelling of a misspelt query.")
    any_word: bool = Field(default=False, description="True: the products have only some of the words.")
    personalised: bool = Field(default=False, description="True: ordered by the user's preferences.")
    message: str | None = Field(default=None, description="Reason why no search was made.")
    degraded: str | None = Field(
        default=None, description="Set while search is down: what is shown instead, and why."
    )
    next_cursor: str | None = Field(description="Send it back as `cursor` for the next page.")


class Suggestion(WithSku):
    """A product's name that completes the input."""

    text: str
    product_id: int


class Suggestions(BaseModel):
    """Completions, the more popular first."""

    suggestions: list[Suggestion]
    message: str | None = Field(default=None, description="Reason why no search was made.")
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
    kilometres: float | None = Field(description="Distance from the given place.")
    created_at: datetime | None


class UsersFound(BaseModel):
    """One page of users that were found."""

    total: int
    items: list[FoundUser]
    message: str | None = Field(default=None, description="Reason why no search was made.")
    next_cursor: str | None = Field(description="Send it back as `cursor` for the next page.")


class ClickIn(Input):
    """That a product of a search was opened; the same sent twice counts once."""

    search_id: UUID
    query: Annotated[Text, Field(max_length=LONGEST_TEXT)] = ""
    product_id: ProductRef
    position: Annotated[int | None, Field(strict=True, ge=1, le=100_000)] = None
