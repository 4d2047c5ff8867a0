"""Requests and responses of the recommendations domain."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from recsys.domains.recommendations.types import FeedbackType, InteractionType
from recsys.money import cents
from recsys.own_ids.answers import WithSku
from recsys.own_ids.scheme import MAX_LENGTH, from_object, from_text
from recsys.web.access.guest_sessions import signed_id
from recsys.web.validators import Id, small_json, storable
from recsys.write_buffer.batches import BatchKind, PostedIn

__all__ = [
    "FEEDBACK",
    "INTERACTIONS",
    "FeedbackIn",
    "FeedbackOut",
    "InteractionIn",
    "PreferencesOut",
    "PriceRange",
    "Taste",
    "TasteOut",
]

INTERACTIONS = BatchKind("interaction", "interactions", 1000)
FEEDBACK = BatchKind("piece of feedback", "pieces of feedback", 500)
_MAX_CONTEXT_DEPTH = 16
_MAX_CONTEXT_VALUES = 500


def _happened(moment: datetime) -> datetime:
    if moment < datetime(1970, 1, 1, tzinfo=UTC):
        raise ValueError("a moment of 1970 or later")
    return moment


Word = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(storable)]
OwnIdText = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH), AfterValidator(storable)]
GuestId = Annotated[Word, AfterValidator(lambda given: signed_id(given) or given)]
"""The id of a guest session; of a token that the server issued only the id is stored."""
Moment = Annotated[AwareDatetime, AfterValidator(_happened)]
EventId = Annotated[
    Word | None,
    Field(description="The sender's own id, a UUID or any text: an event sent twice is stored once."),
]


RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{8,64}$")]


class _Posted(PostedIn):
    @model_validator(mode="before")
    @classmethod
    def _own_ids_in_fields_of_their_own(cls, given: Any) -> Any:
        """Move an own id in the place of a number to its field; it is looked up when the post is stored."""
        if not isinstance(given, dict):
            return given
        moved = dict(given)
        for number, scheme in (("product_id", "sku"), ("user_id", "username")):
            value = moved.get(number)
            own_id = from_text(value) if isinstance(value, str) else from_object(value)
            if own_id is not None and own_id.scheme == scheme and moved.get(scheme) in (None, own_id.value):
                del moved[number]
                moved[scheme] = own_id.value
        return moved

    created_at: Moment | None = Field(
        default=None,
        description="When it happened, with time zone; default: now. A time ahead of now counts as now.",
    )


def _check_names(posted: InteractionIn | FeedbackIn) -> None:
    """Raise ValueError where a user or a product is named twice."""
    if posted.user_id is not None and posted.username is not None:
        raise ValueError("either user_id or username, not both")
    if posted.product_id is not None and posted.sku is not None:
        raise ValueError("either product_id or sku, not both")


class InteractionIn(_Posted):
    """One thing that somebody did with a product: a user (by id or by name), or a guest (by session)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"user_id": 1, "product_id": 42, "interaction_type": "purchase", "interaction_value": 2},
                {
                    "session_id": "a-guest",
                    "product_id": 42,
                    "interaction_type": "view",
                    "event_id": "page-17-view-3",
                },
            ]
        },
    )

    user_id: Id | None = Field(
        default=None, description="A user by number; by username as `username:…` or in `username`."
    )
    username: OwnIdText | None = Field(default=None, description="Instead of `user_id`.")
    product_id: Id | None = Field(
        default=None, description="A product by number; by SKU as `sku:…` or in `sku`."
    )
    sku: OwnIdText | None = Field(default=None, description="Instead of `product_id`.")
    interaction_type: InteractionType
    interaction_value: Annotated[Decimal, Field(max_digits=10, decimal_places=2)] | None = Field(
        default=None,
        description="Quantity, rating, seconds …; at most two decimals. A dismissal below 0 takes one back.",
    )
    context: dict[str, Any] = Field(
        default={}, description="Any other data of the event: up to 4 KiB of JSON."
    )
    session_id: GuestId | None = Field(
        default=None, description="The session; without a user it identifies a guest."
    )
    event_id: EventId = None

    @field_validator("context")
    @classmethod
    def _context_can_be_kept(cls, context: dict[str, Any]) -> dict[str, Any]:
        waiting: list[tuple[Any, int]] = [(context, 1)]
        values = 0
        while waiting:
            value, depth = waiting.pop()
            values += 1
            if depth > _MAX_CONTEXT_DEPTH or values > _MAX_CONTEXT_VALUES:
                raise ValueError(
                    f"at most {_MAX_CONTEXT_VALUES} values, nested at most {_MAX_CONTEXT_DEPTH} deep"
                )
            if isinstance(value, str):
                storable(value)
            elif isinstance(value, dict):
                for name, inner in value.items():
                    storable(name)
                    waiting.append((inner, depth + 1))
            elif isinstance(value, list):
                waiting.extend((inner, depth + 1) for inner in value)
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("finite numbers; JSON has no NaN or Infinity")
        return small_json(context)

    @model_validator(mode="after")
    def _says_who(self) -> InteractionIn:
        _check_names(self)
        if self.product_id is None and self.sku is None:
            raise ValueError("a product_id or a sku")
        if self.user_id is None and self.username is None and self.session_id is None:
            raise ValueError("a user_id, a username, or a session_id for a guest")
        return self


class FeedbackIn(_Posted):
    """What somebody did with something that was recommended to them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"request_id": "5f0c1d9e8b7a4f36", "product_id": 42, "feedback_type": "clicked"},
                {"recommendation_id": 7, "feedback_type": "clicked", "event_id": "click-1"},
                {"product_id": 42, "feedback_type": "dismissed", "text": "I have one already"},
                {"product_id": 42, "feedback_type": "restored"},
                {"product_id": 42, "feedback_type": "rated", "rating": 4},
            ]
        },
    )

    user_id: Id | None = Field(
        default=None,
        description="The user whose feedback it is, by number; by username as `username:…` or in `username`. "
        "A logged-in user may leave it out.",
    )
    username: OwnIdText | None = Field(default=None, description="Instead of `user_id`.")
    request_id: RequestId | None = Field(
        default=None,
        description="Of the answer's provenance: tells model and position, and whose list it was. Guests' "
        "feedback needs it.",
    )
    shelf: Annotated[str, Field(min_length=1, max_length=50), AfterValidator(storable)] | None = Field(
        default=None, description="Which list of that response; default: the first that has the product."
    )
    session_id: GuestId | None = Field(default=None, description="The session of a guest, as in the request.")
    recommendation_id: Id | None = Field(default=None, description="A stored recommendation of this user.")
    product_id: Id | None = Field(
        default=None,
        description="The product by number; by SKU as `sku:…` or in `sku`. Not needed with a "
        "recommendation_id.",
    )
    sku: OwnIdText | None = Field(default=None, description="Instead of `product_id`.")
    feedback_type: FeedbackType
    rating: Annotated[int, Field(strict=True, ge=1, le=5)] | None = Field(
        default=None, description="From 1 to 5; only with `rated`."
    )
    text: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(storable)] | None = None
    event_id: EventId = None

    @field_validator("feedback_type", mode="before")
    @classmethod
    def _bought_is_purchased(cls, given: object) -> object:
        return FeedbackType.PURCHASED if given == "bought" else given

    @model_validator(mode="after")
    def _makes_sense(self) -> FeedbackIn:
        _check_names(self)
        if self.recommendation_id is None and self.product_id is None and self.sku is None:
            raise ValueError("a recommendation_id, a product_id or a sku")
        if self.shelf is not None and self.request_id is None:
            raise ValueError("a shelf only with the request_id of its answer")
        if (self.feedback_type is FeedbackType.RATED) != (self.rating is not None):
            raise ValueError("a rating with `rated`, and with nothing else")
        return self


class FeedbackOut(WithSku):
    """One piece of one's own feedback."""

    id: int
    product_id: int
    recommendation_id: int | None
    recommended: bool
    clicked: bool
    purchased: bool
    rating: int | None
    feedback_type: str | None
    text: str | None
    created_at: datetime | None


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(storable),
]
Liked = Annotated[
    dict[Name, Annotated[float, Field(strict=True, ge=-1, le=1)]],
    Field(default_factory=dict, max_length=200),
]
Price = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=2), AfterValidator(cents)]


class PriceRange(BaseModel):
    """What something may cost; an end that is left out is open."""

    model_config = ConfigDict(extra="forbid")

    min: Price | None = None
    max: Price | None = None

    @model_validator(mode="after")
    def _is_one(self) -> PriceRange:
        if self.min is None and self.max is None:
            raise ValueError("a min, a max, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("a min that is not above max")
        return self


class Taste(BaseModel):
    """Explicit preferences by name: -1 means never, 0 indifferent, 1 very much."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"categories": {"Toys": 1, "Garden": -0.5}, "price_range": {"max": "50.00"}}]
        },
    )

    categories: Liked = Field(description="By name, slug, path (`Food > Fruit`) or id.")
    brands: Liked = Field(description="By name, slug or id.")
    colors: Liked
    sizes: Liked
    styles: Liked
    price_range: PriceRange | None = None


class TasteOut(BaseModel):
    """Preferences as they are stored; imported ones may hold other numbers."""

    categories: dict[str, float]
    brands: dict[str, float]
    colors: dict[str, float]
    sizes: dict[str, float]
    styles: dict[str, float]
    price_range: PriceRange | None


class PreferencesOut(BaseModel):
    """The preferences that a user set, and those that the shop inferred from the user's interactions."""

    explicit: TasteOut
    inferred: TasteOut
    updated_at: datetime | None
