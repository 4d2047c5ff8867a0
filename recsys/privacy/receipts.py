"""Receipts of erasures: what was removed where, signed, without the person."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from recsys.errors import Invalid
from recsys.web.access.signing import is_signed, sign

__all__ = ["ErasureReceipt", "ModelDate", "PlaceCount", "person_reference", "signed", "verify"]

_PURPOSE, _REFERENCE = b"privacy receipt", b"privacy reference"


class PlaceCount(BaseModel):
    """What an erasure did in one place."""

    place: str = Field(description="A table, a Redis key, a folder or the search index.")
    outcome: str = Field(description="`removed`; `anonymised` where the rest must be kept.")
    count: int = Field(description="Rows, keys, members, entries, files or records.")


class ModelDate(BaseModel):
    """A model that learned from the person."""

    name: str
    retrain_by: datetime = Field(description="It is to be replaced by one without the person until then.")


class ErasureReceipt(BaseModel):
    """What was erased, without the person; `recsys privacy verify-receipt` checks the signature."""

    format: int = 1
    receipt: UUID
    person: str = Field(description="A keyed hash of the user's number: the same for the same person.")
    erased_at: datetime
    requested_by: str = Field(description="`the person`, `user 7`, `key …` or `command`.")
    places: list[PlaceCount]
    models: list[ModelDate]
    notes: list[str] = Field(description="What is left to do, in words.")
    signature: str = Field(default="", description="HMAC-SHA-256 cut to 128 bits, hexadecimal.")


def person_reference(user_id: int) -> str:
    """What a receipt says instead of the person."""
    return sign(_REFERENCE, str(user_id).encode()).hex()


def signed(receipt: ErasureReceipt) -> ErasureReceipt:
    """The receipt with its signature."""
    return receipt.model_copy(update={"signature": sign(_PURPOSE, _message(receipt)).hex()})


def verify(document: bytes) -> ErasureReceipt:
    """The receipt of a file. Raises Invalid where it is none, was changed, or was signed by another key."""
    try:
        receipt = ErasureReceipt.model_validate_json(document)
        signature = bytes.fromhex(receipt.signature)
    except ValueError as error:
        raise Invalid(
            "the file is no receipt of an erasure; expected the JSON that `recsys privacy erase` wrote"
        ) from error
    if not is_signed(_PURPOSE, _message(receipt), signature):
        raise Invalid(
            "the signature does not match: the receipt was changed, or was signed with a secret that "
            "RECSYS_API__CURSOR_SECRETS no longer has"
        )
    return receipt


def _message(receipt: ErasureReceipt) -> bytes:
    return orjson.dumps(receipt.model_dump(mode="json", exclude={"signature"}), option=orjson.OPT_SORT_KEYS)
