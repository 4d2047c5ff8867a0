"""What misspelt words may have meant: known ones that are one or two edits away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Session

from recsys.search.words import distance, neighbours

__all__ = ["Meaning", "edits_allowed", "meanings", "meant", "nearest"]

_SHORT = 6
"""Up to so many letters, trigrams say too little, and all neighbours can be looked up instead."""
_MOST = 3

_KNOWN = text(
    """
    SELECT given.word,
           CAST(plainto_tsquery(CAST(:language AS regconfig), given.word) AS text) AS query,
           EXISTS (
               SELECT FROM products_db.search_words s
               WHERE s.stem = ANY(tsvector_to_array(to_tsvector(CAST(:language AS regconfig), given.word)))
           ) OR (
               -- counted: for EXISTS, PostgreSQL may think that the first of all rows will do
               SELECT count(*) > 0 FROM products_db.product_search p
               WHERE p.words @@ plainto_tsquery(CAST(:language AS regconfig), given.word)
           ) AS known
    FROM unnest(:words) WITH ORDINALITY AS given(word, place)
    ORDER BY given.place
    """
).bindparams(bindparam("words", type_=ARRAY(TEXT)))
_SIMILAR = text(
    """
    SELECT given.word, near.word AS candidate, near.documents,
           CAST(plainto_tsquery(CAST(:language AS regconfig), near.word) AS text) AS query
    FROM unnest(:words) AS given(word)
    CROSS JOIN LATERAL (
        SELECT s.word, s.documents FROM products_db.search_words s
        WHERE s.word % given.word
        ORDER BY similarity(s.word, given.word) DESC, s.documents DESC, s.word LIMIT 30
    ) near
    UNION
    SELECT given.word, s.word, s.documents,
           CAST(plainto_tsquery(CAST(:language AS regconfig), s.word) AS text)
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
    """A word, and what it may have meant where nobody wrote it.

    queries : PostgreSQL's own writing of it, and of its candidates, as part of a tsquery; empty for a word
        that says nothing (`the`).
    """

    word: str
    queries: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()


def edits_allowed(word: str) -> int:
    """None for two letters or numbers, one up to five letters, two beyond: Elasticsearch's AUTO."""
    if len(word) < 3 or word.isdigit():
        return 0
    return 1 if len(word) <= 5 else 2


def meanings(session: Session, words: Sequence[str], language: str) -> list[Meaning]:
    """Each word with what it may have meant, in at most two statements."""
    rows = session.execute(_KNOWN, {"words": list(words), "language": language}).all()
    unknown = [word for word, query, known in rows if query and not known and edits_allowed(word)]
    found: dict[str, list[tuple[str, int]]] = {}
    written: dict[str, str] = {}
    if unknown:
        short = [word for word in unknown if len(word) <= _SHORT]
        values = {
            "language": language,
            "words": unknown,
            "short": short,
            # hundreds for each word: a driver takes longer over a list than over a text
            "neighbours": [" ".join(set(neighbours(word))) for word in short],
        }
        for word, candidate, documents, query in session.execute(_SIMILAR, values):
            found.setdefault(word, []).append((candidate, documents))
            written[candidate] = query
    told = []
    for word, query, _ in rows:
        candidates = nearest(word, found.get(word, ()))
        queries = (query, *(written[one] for one in candidates))
        told.append(Meaning(word, tuple(filter(None, queries)), candidates))
    return told


def nearest(word: str, candidates: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """The three likeliest: fewest edits, then most products."""
    allowed = edits_allowed(word)
    ranked = sorted((distance(word, one), -documents, one) for one, documents in candidates)
    return tuple(one for edits, _, one in ranked if 0 < edits <= allowed)[:_MOST]


def meant(meanings: Sequence[Meaning]) -> str | None:
    """The whole query as it was probably meant; None when it is meant as it was typed."""
    if not any(one.candidates for one in meanings):
        return None
    return " ".join(one.candidates[0] if one.candidates else one.word for one in meanings)
