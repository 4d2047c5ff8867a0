"""How an own id is written: `sku:EL-0118` in text, `{"sku": "EL-0118"}` in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

__all__ = ["MAX_LENGTH", "SCHEMES", "IdKind", "OwnId", "fault_of", "from_object", "from_text"]

MAX_LENGTH = 100
"""Characters; the columns that hold own ids are as wide."""


class IdKind(StrEnum):
    """What an own id names."""

    PRODUCT = "product"
    VARIANT = "variant"
    USER = "user"
    CATEGORY = "category"
    BRAND = "brand"


SCHEMES: Mapping[IdKind, tuple[str, ...]] = {
    IdKind.PRODUCT: ("sku",),
    IdKind.VARIANT: ("sku",),
    IdKind.USER: ("username",),
    IdKind.CATEGORY: ("slug", "name"),
    IdKind.BRAND: ("slug", "name"),
}
"""The schemes that name each kind."""
_ALL = frozenset(scheme for schemes in SCHEMES.values() for scheme in schemes)


class OwnId(NamedTuple):
    """A text of the shop and the column that holds it. Compared as it is: case, accents and blanks count."""

    scheme: str
    value: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}"


def from_text(text: str) -> OwnId | None:
    """Return the own id that `SCHEME:VALUE` writes, None for any other text.

    Everything after the first colon is the value, colons included.
    """
    scheme, colon, value = text.partition(":")
    return OwnId(scheme, value) if colon and scheme in _ALL else None


def from_object(given: object) -> OwnId | None:
    """Return the own id that an object of one scheme and its value writes, None for any other value."""
    if isinstance(given, dict) and len(given) == 1:
        ((scheme, value),) = given.items()
        if scheme in _ALL and isinstance(value, str):
            return OwnId(scheme, value)
    return None


def fault_of(own_id: OwnId) -> str | None:
    """Return why nothing can have this own id; None where something may."""
    if not 0 < len(own_id.value) <= MAX_LENGTH:
        return f"a {own_id.scheme} of 1 to {MAX_LENGTH} characters"
    if "\0" in own_id.value or any(0xD800 <= ord(letter) <= 0xDFFF for letter in own_id.value):
        return f"a {own_id.scheme} without NUL characters and lone surrogates"
    return None
