"""What the recommendations domain takes in and answers over HTTP."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from recsys import clock
from recsys.domains.recommendations.vocabulary import InteractionType

__all__ = ["CLOCK_SKEW", "MAX_INTERACTIONS", "InteractionIn", "InteractionsOut", "Verdict"]

MAX_INTERACTIONS = 1000
CLOCK_SKEW = timedelta(seconds=60)
"""How far a sender's clock may run ahead of ours before its events count as from the future."""
_MAX_CONTEXT_DEPTH = 16
_MAX_CONTEXT_VALUES = 500


def _storable(text: str) -> str:
    # PostgreSQL keeps neither, and would refuse the whole batch for one of them
    if "\x00" in text or any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise ValueError("text without NUL characters and lone surrogates")
    return text


Id = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Word = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable)]


class InteractionIn(BaseModel):
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

    user_id: Id | None = Field(default=None, description="The numeric id of a user of the shop.")
    username: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_storable)] | None = Field(
        default=None, description="Instead of `user_id`."
    )
    product_id: Id
    interaction_type: InteractionType
    interaction_value: Annotated[Decimal, Field(max_digits=10, decimal_places=2)] | None = Field(
        default=None, description="Quantity, rating, seconds …; at most two decimals."
    )
    context: dict[str, Any] = Field(default={}, description="Anything else worth keeping with the event.")
    session_id: Word | None = Field(default=None, description="The visit; alone it stands for a guest.")
    event_id: Word | None = Field(
        default=None,
        description="The sender's own id, a UUID or any text: an event sent twice is stored once.",
    )
    created_at: AwareDatetime | None = Field(
        default=None, description="When it happened, with time zone; default: now."
    )

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
                _storable(value)
            elif isinstance(value, dict):
                for name, inner in value.items():
                    _storable(name)
                    waiting.append((inner, depth + 1))
            elif isinstance(value, list):
                waiting.extend((inner, depth + 1) for inner in value)
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("finite numbers; JSON has no NaN or Infinity")
        return context

    @field_validator("created_at")
    @classmethod
    def _happened(cls, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        now = clock.now()
        if moment > now + CLOCK_SKEW:
            raise ValueError("a moment that is not in the future")
        if moment < datetime(1970, 1, 1, tzinfo=UTC):
            raise ValueError("a moment of 1970 or later")
        return min(moment, now)

    @model_validator(mode="after")
    def _says_who(self) -> InteractionIn:
        if self.user_id is not None and self.username is not None:
            raise ValueError("either user_id or username, not both")
        if self.user_id is None and self.username is None and self.session_id is None:
            raise ValueError("a user_id, a username, or a session_id for a guest")
        return self


class Verdict(BaseModel):
    """What became of one interaction; `index` is its place in the request, from 0."""

    index: int
    status: Literal["stored", "duplicate", "refused"]
    event_id: str | None = Field(
        default=None, description="The UUID the event is known by; null when refused."
    )
    reason: str | None = Field(default=None, description="Why it was refused.")


class InteractionsOut(BaseModel):
    """The verdicts, in the order of the request."""

    stored: int
    duplicates: int
    refused: int
    verdicts: list[Verdict]
