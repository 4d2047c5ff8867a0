"""Finds card numbers in what is sent to us, so that none is ever taken, stored or logged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

__all__ = ["holds_card_number"]

# ISO/IEC 7812: 12 to 19 digits; those that shops meet begin with 2 to 6, Maestro may have 12
_CANDIDATE = re.compile(r"(?<!\d)[2-6](?:[ \-.]?\d){11,18}(?!\d)")


def holds_card_number(texts: Iterable[str]) -> bool:
    """Whether a run of digits in one of `texts` can be a card number: right length, start and check digit.

    Digits may be apart by a space, dash or dot, and percent-encoded. One of ten other numbers of that form
    has a right check digit too (Luhn, ISO/IEC 7812-1 annex B): such a number is refused as well.
    """
    return any(_found(form) for text in texts for form in {text, unquote_plus(text)})


def _found(text: str) -> bool:
    return any(_luhn(re.sub(r"\D", "", match.group())) for match in _CANDIDATE.finditer(text))


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0
