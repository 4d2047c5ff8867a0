"""Reads one JSON value of `user_preferences`, in any of the spellings that it may have."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.build.product_reader import SEPARATOR, Taxonomy

__all__ = ["INFERRED", "Affinities", "Worded", "affinities", "is_inferred", "price_range", "worded"]

INFERRED = "inferred"
_LARGEST = float(np.finfo(np.float32).max)


@dataclass
class Affinities:
    """What one JSON value says, and what of it could not be used.

    Attributes
    ----------
    by_code
        Code → explicit affinity.
    malformed
        Parts that are no affinity at all.
    unknown
        Names that the catalogue does not have.
    inferred
        Code → inferred affinity.
    """

    by_code: dict[int, float] = field(default_factory=dict)
    malformed: int = 0
    unknown: int = 0
    inferred: dict[int, float] = field(default_factory=dict)


@dataclass
class Worded:
    """The same for words that no taxonomy numbers: word → affinity, in the spelling of `ItemFeatures`."""

    by_word: dict[str, float] = field(default_factory=dict)
    malformed: int = 0
    inferred: int = 0


def affinities(text: str, taxonomy: Taxonomy) -> Affinities:
    """Read one JSON value: {"id, name, slug or path": number, …}, or a list of those, counting 1 each.

    In place of a number may stand {"affinity": number, "source": "explicit" or "inferred"}.
    """
    found = Affinities()
    for key, value in _entries(text, found):
        guessed = is_inferred(value)
        number = _affinity(value)
        if number is None:
            found.malformed += 1
            continue
        code = _code(key, taxonomy)
        if code is None:
            found.unknown += 1
        elif guessed:
            found.inferred[code] = number
        elif number != 0.0 and abs(number) > abs(found.by_code.get(code, 0.0)):
            # the same name under two spellings counts once, with the larger affinity
            found.by_code[code] = number
    return found


def worded(text: str) -> Worded:
    """Read one JSON value of colours, sizes or styles: {"word": number, …}, or a list of words.

    A size may be a bare number in a list. What reads as no word counts as malformed.
    """
    found = Worded()
    for key, value in _entries(text, found):
        word, number = _word(key), _affinity(value)
        if word is None or number is None:
            found.malformed += 1
        elif is_inferred(value):
            found.inferred += 1
        elif number != 0.0 and abs(number) > abs(found.by_word.get(word, 0.0)):
            found.by_word[word] = number
    return found


def is_inferred(value: object) -> bool:
    """Whether a part of the JSON was inferred by the preferences job, not given by the user."""
    return isinstance(value, dict) and value.get("source") == INFERRED


def price_range(text: str) -> tuple[tuple[float, float], int]:
    """Read {"min": …, "max": …} or [min, max].

    An inferred range is not explicit: it is read as none.

    Returns
    -------
    ends : tuple of float
        The lower and the upper end, NaN where not given.
    wrong : int
        How much was wrong.
    """
    nothing = (math.nan, math.nan)
    try:
        value = _parse(text)
    except ValueError:
        return nothing, 1
    if value is None or is_inferred(value):
        return nothing, 0
    if isinstance(value, dict):
        given = [value.get("min"), value.get("max")]
    elif isinstance(value, list) and len(value) == 2:
        given = value
    else:
        return nothing, 1
    numbers = [None if end is None else _number(end) for end in given]
    ends = [math.nan if number is None or number < 0 else number for number in numbers]
    wrong = sum(end is not None and math.isnan(number) for end, number in zip(given, ends, strict=True))
    if ends[0] > ends[1]:
        ends.reverse()
    return (ends[0], ends[1]), wrong


def _entries(text: str, found: Affinities | Worded) -> Iterator[tuple[object, object]]:
    try:
        value = _parse(text)
    except ValueError:
        found.malformed += 1
        return
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from ((key, 1.0) for key in value)
    elif value is not None:
        found.malformed += 1


def _parse(text: str) -> Any:
    """Raises ValueError. Numbers all become float: a JSON integer may be longer than Python reads."""
    if not text:
        return None
    try:
        return json.loads(text, parse_int=float)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _affinity(value: object) -> float | None:
    return _number(value.get("affinity") if isinstance(value, dict) else value)


def _word(key: object) -> str | None:
    if isinstance(key, float) and math.isfinite(key):
        return f"{key:g}"
    return " ".join(key.split()).casefold() or None if isinstance(key, str) else None


def _number(value: object) -> float | None:
    """A finite number that float32 holds, from a number, a truth value or a text; None for anything else."""
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) <= _LARGEST else None


def _code(key: object, taxonomy: Taxonomy) -> int | None:
    if isinstance(key, float) and key.is_integer():
        return taxonomy.by_id.get(int(key))
    if not isinstance(key, str):
        return None
    if key.strip().isdecimal() and (code := taxonomy.by_id.get(int(key.strip()[:20]))) is not None:
        return code
    spelled = SEPARATOR.join(part.strip() for part in key.split(">"))
    return taxonomy.by_spelling.get(spelled.casefold())
