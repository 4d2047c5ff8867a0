"""Highlights of matches as safe HTML: all text is escaped, and `<mark>` is the only element."""

from __future__ import annotations

import html
from collections.abc import Callable

from recsys.search.analysis.analyser import Analyser, spans
from recsys.search.analysis.expression import Expression, tokens_in

__all__ = ["highlights"]

_MOST_CHARACTERS = 5000
_BEFORE, _AFTER = 80, 160
"""Characters of a description around the first word that matched."""


def highlights(
    analyser: Analyser, expression: Expression, name: str | None, description: str | None
) -> dict[str, str]:
    """The whole `name` and a part of the `description` of a product, each if a word in it matches."""
    tokens = list(tokens_in(expression))
    exact = {token.text for token in tokens if not token.prefix}
    begun = tuple(token.text for token in tokens if token.prefix)

    def matches(token: str) -> bool:
        return token in exact or (bool(begun) and token.startswith(begun))

    found = {}
    if marked := _marked(analyser, name or "", matches):
        found["name"] = marked
    if marked := _marked(analyser, (description or "")[:_MOST_CHARACTERS], matches, excerpt=True):
        found["description"] = marked
    return found


def _marked(
    analyser: Analyser, text: str, matches: Callable[[str], bool], *, excerpt: bool = False
) -> str | None:
    places = _places(analyser, text, matches)
    if not places:
        return None
    begin, end = 0, len(text)
    if excerpt:
        begin = _blank(text, places[0][0] - _BEFORE, 1)
        end = _blank(text, places[0][1] + _AFTER, -1)
    parts, last = [], begin
    for start, stop in places:
        if stop > end:
            break
        parts += [html.escape(text[last:start]), f"<mark>{html.escape(text[start:stop])}</mark>"]
        last = stop
    return "".join([*parts, html.escape(text[last:end])])


def _places(analyser: Analyser, text: str, matches: Callable[[str], bool]) -> list[tuple[int, int]]:
    """Where words begin and end that match; a number and its unit are one."""
    words = list(spans(text))
    found = []
    place = 0
    while place < len(words):
        start, end, word = words[place]
        both = analyser.terms([word, words[place + 1][2]]) if place + 1 < len(words) else ()
        if len(both) == 1:
            if any(map(matches, both[0].stored)):
                found.append((start, words[place + 1][1]))
            place += 2
            continue
        if any(matches(token) for term in analyser.terms([word]) for token in term.stored):
            found.append((start, end))
        place += 1
    return found


def _blank(text: str, place: int, step: int) -> int:
    """The end of a word at or beside a place, so that no word is cut."""
    place = max(0, min(len(text), place))
    while 0 < place < len(text) and not text[place].isspace():
        place += step
    return place
