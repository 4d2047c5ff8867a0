"""What words that no document has may have meant: words that they begin, their parts, known words nearby."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Session

from recsys.search.analysis.analyser import Analyser, Term
from recsys.search.analysis.expression import Expression, any_of
from recsys.search.analysis.query_parsing import distance, neighbours

__all__ = ["Known", "Meaning", "edits_allowed", "meanings", "meant", "nearest"]

Known = Callable[[Sequence[Expression]], list[bool]]
"""Whether any document has each of these, whatever else is asked for."""
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
    """A term, what is asked for in its place, and the known words it may have meant where it is misspelt."""

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
    found = _resolved(terms, known)
    unknown = [term.text for term, one in found if one is None and term.plain and edits_allowed(term.text)]
    similar = _similar(session, unknown) if fuzzy and unknown else {}
    resolved = []
    for term, expression in found:
        candidates = nearest(term.text, similar.get(term.text, ()))
        if expression is None:
            instead = [one.asked for word in candidates for one in analyser.of(word)]
            expression = any_of([term.asked, *instead])
        resolved.append(Meaning(term.text, expression, candidates))
    return resolved


def nearest(word: str, candidates: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """The three likeliest: fewest edits, then most products."""
    allowed = edits_allowed(word)
    ranked = sorted((distance(word, one), -documents, one) for one, documents in candidates)
    return tuple(one for edits, _, one in ranked if 0 < edits <= allowed)[:_MOST]


def meant(meanings: Sequence[Meaning]) -> str | None:
    """The whole query as it was probably meant; None when it is meant as it was typed."""
    if not any(one.candidates for one in meanings):
        return None
    return " ".join(one.candidates[0] if one.candidates else one.text for one in meanings)


def _resolved(terms: Sequence[Term], known: Known) -> list[tuple[Term, Expression | None]]:
    """Each term, or its parts, with what to ask for; None where no document has anything of it."""
    if not terms:
        return []
    loose = [term.loose for term in terms if term.loose is not None]
    flags = known([*(term.asked for term in terms), *loose])
    exact, begun = flags[: len(terms)], iter(flags[len(terms) :])
    found: list[tuple[Term, Expression | None]] = []
    for term, there in zip(terms, exact, strict=True):
        wider = term.loose is not None and next(begun)
        if there:
            found.append((term, term.asked))
        elif wider:
            found.append((term, term.loose))
        elif term.parts:
            found += _resolved(term.parts, known)
        else:
            found.append((term, None))
    return found


def _similar(session: Session, words: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
    short = [word for word in words if len(word) <= _SHORT]
    values = {
        "words": list(words),
        "short": short,
        # hundreds for each word: a driver takes longer over a list than over a text
        "neighbours": [" ".join(set(neighbours(word))) for word in short],
    }
    found: dict[str, list[tuple[str, int]]] = {}
    for word, candidate, documents in session.execute(_SIMILAR, values):
        found.setdefault(word, []).append((candidate, documents))
    return found
