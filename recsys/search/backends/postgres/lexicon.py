"""The words of everything that is sold, with the tokens they are searched by: what others may have meant.

Both engines look up misspelt words here, and whether a word is known at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER, TEXT
from sqlalchemy.orm import Session

from recsys.search.analysis.analyser import Term, analyser
from recsys.search.analysis.expression import tokens_in

__all__ = ["keep", "rebuild"]

_LONGEST = 40
_GIVEN = "unnest(:words, :stems, :documents) AS fresh(word, stem, documents)"
_LISTS = (
    bindparam("words", type_=ARRAY(TEXT)),
    bindparam("stems", type_=ARRAY(TEXT)),
    bindparam("documents", type_=ARRAY(INTEGER)),
)
_KEEP = text(
    f"""
    INSERT INTO products_db.search_words (word, stem, documents)
    SELECT word, stem, documents FROM {_GIVEN} ORDER BY word COLLATE "C"
    ON CONFLICT (word) DO NOTHING
    """  # noqa: S608
).bindparams(*_LISTS)
# what did not change is not touched, so that no event's handler has to wait for it
_REBUILD = text(
    f"""
    WITH fresh AS MATERIALIZED (SELECT * FROM {_GIVEN}), gone AS (
        DELETE FROM products_db.search_words w
        WHERE NOT EXISTS (SELECT FROM fresh f WHERE f.word = w.word COLLATE "C")
    )
    INSERT INTO products_db.search_words AS kept (word, stem, documents)
    SELECT word, stem, documents FROM fresh ORDER BY word COLLATE "C"
    ON CONFLICT (word) DO UPDATE SET stem = excluded.stem, documents = excluded.documents
    WHERE (kept.stem, kept.documents) IS DISTINCT FROM (excluded.stem, excluded.documents)
    """  # noqa: S608
).bindparams(*_LISTS)
# of names, brands, categories and tags; descriptions hold too many words that nobody searches for
_SOLD = text(
    """
    SELECT p.name, b.name AS brand_name, c.name AS category_name,
           coalesce(p.tags, CAST('{}' AS text[])) AS tags
    FROM products_db.products p
    LEFT JOIN products_db.categories c ON c.id = p.category_id
    LEFT JOIN products_db.brands b ON b.id = p.brand_id
    WHERE p.status = 'active'
    """
)
_BATCH = 5000


def keep(session: Session, language: str, rows: Sequence[Mapping[Any, Any]]) -> None:
    """Bring in the words of these products' documents, as far as they are sold."""
    fresh: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row["status"] == "active":
            fresh.update(_words(row, language))
    if fresh:
        session.execute(_KEEP, _values(fresh))


def rebuild(session: Session, language: str) -> int:
    """All words, with their numbers of products; how many there are."""
    fresh: Counter[tuple[str, str]] = Counter()
    rows = session.execute(_SOLD, execution_options={"yield_per": _BATCH}).mappings()
    for row in rows:
        fresh.update(_words(row, language))
    session.execute(_REBUILD, _values(fresh))
    return len(fresh)


def _words(row: Mapping[Any, Any], language: str) -> set[tuple[str, str]]:
    """The different words of a product, each with the token that it is searched by."""
    found: set[tuple[str, str]] = set()
    for given in (row["name"], row["brand_name"], row["category_name"], *row["tags"]):
        for term in analyser(language).of(given or ""):
            found.update(_correctable(term))
    return {one for one in found if 2 <= len(one[0]) <= _LONGEST}


def _correctable(term: Term) -> Iterator[tuple[str, str]]:
    """Numbers and their units are not misspelt, and characters of scripts without blanks are no word."""
    token = next(tokens_in(term.asked)).text
    if term.plain:
        yield term.text, token
    elif term.parts and not token[0].isdigit():
        yield token, token
    for part in term.parts:
        yield from _correctable(part)


def _values(fresh: Mapping[tuple[str, str], int]) -> dict[str, list[Any]]:
    # a word has one token: it is made of the word
    counts = {word: (stem, documents) for (word, stem), documents in fresh.items()}
    return {
        "words": list(counts),
        "stems": [stem for stem, _ in counts.values()],
        "documents": [documents for _, documents in counts.values()],
    }
