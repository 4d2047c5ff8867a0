"""Own ids in the options of commands."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.errors import Invalid, NotFound
from recsys.own_ids.references import not_found
from recsys.own_ids.resolver import RESOLVER
from recsys.own_ids.scheme import SCHEMES, IdKind, OwnId, fault_of, from_text

__all__ = ["number_of", "numbers_of"]


def numbers_of(kind: IdKind, texts: Sequence[str]) -> list[int]:
    """Return the number that each text names: decimal digits, or `SCHEME:VALUE`, looked up together.

    Raises
    ------
    Invalid
        A text is neither.
    NotFound
        Nothing has the own id.
    """
    own_ids = [from_text(text) for text in texts]
    for text, own_id in zip(texts, own_ids, strict=True):
        _check(kind, text, own_id)
    found = RESOLVER.look_up([own_id for own_id in own_ids if own_id is not None])
    numbers = []
    for text, own_id in zip(texts, own_ids, strict=True):
        number = int(text) if own_id is None else found.get((kind, own_id))
        if number is None:
            assert own_id is not None
            raise NotFound(not_found(kind, own_id))
        numbers.append(number)
    return numbers


def number_of(kind: IdKind, text: str) -> int:
    """Return the number that one text names; see `numbers_of`."""
    return numbers_of(kind, [text])[0]


def _check(kind: IdKind, text: str, own_id: OwnId | None) -> None:
    if own_id is None:
        valid = text.isascii() and text.isdigit() and 1 <= int(text) < 2**31
    else:
        valid = own_id.scheme in SCHEMES[kind] and fault_of(own_id) is None
    if not valid:
        forms = " or ".join(f"{scheme}:VALUE" for scheme in SCHEMES[kind])
        raise Invalid(f"{text!r} names no {kind}; write its number or {forms}.")
