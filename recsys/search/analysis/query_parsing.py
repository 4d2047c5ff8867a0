"""Plain words of names of users, and how many edits lie between two words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["distance", "neighbours", "plain_words"]

_LONGEST_TEXT = 255
_MOST_WORDS = 12
_LONGEST_WORD = 40
_WORD = re.compile(r"[^\W_]+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def plain_words(text: str) -> tuple[str, ...]:
    """The first 12 different words of letters and digits, each of 40 characters at most, in lower case and in
    Unicode's composed form (NFKC): no operator, wildcard or syntax of any language is left.
    """
    # NFKC first: it can lengthen a text 18-fold, so the text is cut before and after
    plain = unicodedata.normalize("NFKC", text[:_LONGEST_TEXT]).lower()
    found = (match.group()[:_LONGEST_WORD] for match in _WORD.finditer(plain))
    return tuple(dict.fromkeys(word for word in found if _storable(word)))[:_MOST_WORDS]


def neighbours(word: str) -> Iterator[str]:
    """Everything that is one edit away: a letter dropped, swapped with the next, replaced or put in."""
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


def distance(one: str, other: str) -> int:
    """Edits between two words: letters dropped, put in, replaced, or swapped with their neighbour.

    The optimal string alignment distance (Damerau 1964; Boytsov 2011, section 2.1).
    """
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        this = [row]
        for column, against in enumerate(other, 1):
            cost = min(this[-1] + 1, last[column] + 1, last[column - 1] + (letter != against))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == against:
                cost = min(cost, before[column - 2] + 1)
            this.append(cost)
        before, last = last, this
    return last[-1]


def _storable(word: str) -> bool:
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in word)
