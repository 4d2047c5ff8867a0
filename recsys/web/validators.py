"""Types of request parameters in every domain: storable text, ids, bodies without unknown fields."""

from __future__ import annotations

import json
from typing import Annotated, Any

import orjson
from fastapi import Header, Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "MAX_EVENT_JSON",
    "Id",
    "IdempotencyKey",
    "Input",
    "RowId",
    "Text",
    "small_json",
    "storable",
]

MAX_EVENT_JSON = 4096
"""Bytes of what a sender adds to an event, written as JSON."""


def storable(text: str) -> str:
    """The text, if PostgreSQL can store it. Raises ValueError for NUL characters and lone surrogates."""
    if "\x00" in text or any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise ValueError("text without NUL characters and lone surrogates")
    return text


def small_json(value: dict[str, Any]) -> dict[str, Any]:
    """The object, if it is small enough to be kept with every event. Raises ValueError above 4 KiB."""
    try:
        size = len(orjson.dumps(value))
    except TypeError:  # a whole number beyond 64 bits, or text that is not Unicode
        size = len(json.dumps(value, ensure_ascii=True))
    if size > MAX_EVENT_JSON:
        raise ValueError(f"at most {MAX_EVENT_JSON} bytes as JSON")
    return value


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
