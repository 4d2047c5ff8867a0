"""Plain words of names of users, and the neighbours of a misspelt word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["neighbours", "plain_words"]

_LONGEST_TEXT = 255
_MOST_WORDS = 12
_LONGEST_WORD = 40
_WORD = re.compile(r"[^\W_]+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def plain_words(text: str) -> tuple[str, ...]:
    """The first 12 different words of letters and digits, each of at most 40 characters.

    They are in lower case and in Unicode's composed form (NFKC), without operators or wildcards.
    """
    # NFKC first: it can lengthen a text 18-fold, so the text is cut before and after
    plain = unicodedata.normalize("NFKC", text[:_LONGEST_TEXT]).lower()
    words = (match.group()[:_LONGEST_WORD] for match in _WORD.finditer(plain))
    return tuple(dict.fromkeys(filter(_storable, words)))[:_MOST_WORDS]


def neighbours(word: str) -> Iterator[str]:
    """Every text that is one edit away: a letter dropped, swapped with the next, replaced or inserted."""
    for place in range(len(word) + 1):
        head, tail = word[:place], word[place:]
        if tail:
            yield head + tail[1:]
            for letter in _LETTERS:
                yield head + letter + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in _LETTERS:
            yield head + letter + tail


def _storable(word: str) -> bool:
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in word)
