"""What words without a document may mean: longer words, their parts, similar words of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import OSA
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Session

from recsys.search.analysis.analyser import Analyser, Term
from recsys.search.analysis.expression import Expression, any_of
from recsys.search.analysis.query_parsing import neighbours

__all__ = ["Known", "Meaning", "edits_allowed", "meanings", "meant", "nearest"]

Known = Callable[[Sequence[Expression]], list[bool]]
"""For each expression, whether any document matches it."""
_SHORT = 6
"""Up to so many letters, trigrams say too little, and all neighbours can be looked up instead."""
_MOST = 3

_SIMILAR = text(
    """
    SELECT given.word, near.word AS candidate, near.documents
    FROM unnest(:words) AS given(word)
    CROSS JOIN LATERAL (
        SELECT s.word, s.documents FROM products_db.search_words s
        WHERE s.word % given.word
        ORDER BY similarity(s.word, given.word) DESC, s.documents DESC, s.word LIMIT 30
    ) near
    UNION
    SELECT given.word, s.word, s.documents
    FROM unnest(:short, :neighbours) AS given(word, neighbours)
    JOIN products_db.search_words s ON s.word = ANY(string_to_array(given.neighbours, ' '))
    """
).bindparams(
    bindparam("words", type_=ARRAY(TEXT)),
    bindparam("short", type_=ARRAY(TEXT)),
    bindparam("neighbours", type_=ARRAY(TEXT)),
)


@dataclass(frozen=True)
class Meaning:
    """A term, the expression that replaces it, and the words that it may be a misspelling of."""

    text: str
    asked: Expression
    candidates: tuple[str, ...] = ()


def edits_allowed(word: str) -> int:
    """None for two letters or numbers, one up to five letters, two beyond: Elasticsearch's AUTO."""
    if len(word) < 3 or word.isdigit():
        return 0
    return 1 if len(word) <= 5 else 2


def meanings(
    session: Session, analyser: Analyser, terms: Sequence[Term], known: Known, *, fuzzy: bool
) -> list[Meaning]:
    """Each term with what it may have meant.

    A term that some document has is left as it is, even where no document has all of them. Else, in this
    order: words that it begins, its parts, and with `fuzzy` the words that are few edits away.
    """
    resolved = _resolved(terms, known)
    unknown = [
        term.text
        for term, expression in resolved
        if expression is None and term.plain and edits_allowed(term.text)
    ]
    similar = _similar(session, unknown) if fuzzy and unknown else {}
    meanings = []
    for term, expression in resolved:
        candidates = nearest(term.text, similar.get(term.text, ()))
        if expression is None:
            similar_terms = [near.asked for word in candidates for near in analyser.of(word)]
            expression = any_of([term.asked, *similar_terms])
        meanings.append(Meaning(term.text, expression, candidates))
    return meanings


def nearest(word: str, candidates: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """The three likeliest: fewest edits, then most products.

    An edit drops, inserts or replaces a letter, or swaps two neighbours: the optimal string alignment
    distance (Damerau 1964; Boytsov 2011, section 2.1).
    """
    allowed = edits_allowed(word)
    ranked = sorted((OSA.distance(word, near), -documents, near) for near, documents in candidates)
    return tuple(near for edits, _, near in ranked if 0 < edits <= allowed)[:_MOST]


def meant(meanings: Sequence[Meaning]) -> str | None:
    """The whole query with its likeliest corrections; None when nothing is corrected."""
    if not any(meaning.candidates for meaning in meanings):
        return None
    return " ".join(meaning.candidates[0] if meaning.candidates else meaning.text for meaning in meanings)


def _resolved(terms: Sequence[Term], known: Known) -> list[tuple[Term, Expression | None]]:
    """Each term, or its parts, with the expression that documents match; None where no document does."""
    if not terms:
        return []
    loose = [term.loose for term in terms if term.loose is not None]
    flags = known([*(term.asked for term in terms), *loose])
    exact, wider = flags[: len(terms)], iter(flags[len(terms) :])
    resolved: list[tuple[Term, Expression | None]] = []
    for term, matches in zip(terms, exact, strict=True):
        matches_loosely = term.loose is not None and next(wider)
        if matches:
            resolved.append((term, term.asked))
        elif matches_loosely:
            resolved.append((term, term.loose))
        elif term.parts:
            resolved += _resolved(term.parts, known)
        else:
            resolved.append((term, None))
    return resolved


def _similar(session: Session, words: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
    short = [word for word in words if len(word) <= _SHORT]
    values = {
        "words": list(words),
        "short": short,
        # hundreds for each word: the driver takes longer for a list than for a text
        "neighbours": [" ".join(set(neighbours(word))) for word in short],
    }
    similar: dict[str, list[tuple[str, int]]] = {}
    for word, candidate, documents in session.execute(_SIMILAR, values):
        similar.setdefault(word, []).append((candidate, documents))
    return similar
