"""Types of request parameters in every domain: storable text, ids, bodies without unknown fields."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["Id", "IdempotencyKey", "Input", "RowId", "Text", "storable"]


def storable(text: str) -> str:
    """The text, if PostgreSQL can store it. Raises ValueError for NUL characters and lone surrogates."""
    if "\x00" in text or any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise ValueError("text without NUL characters and lone surrogates")
    return text


Id = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
"""The id of a row in a body; the range of PostgreSQL's integer."""
RowId = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""The id of a row in a path."""
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=100,
        pattern=r"^[\x21-\x7e]+$",
        description="Chosen by the client, new for each order, payment or refund. A repeated request with "
        "the same key has no further effect.",
    ),
]
Text = Annotated[str, AfterValidator(storable)]


class Input(BaseModel):
    """Base class of request bodies: an unknown field is refused."""

    model_config = ConfigDict(extra="forbid")
