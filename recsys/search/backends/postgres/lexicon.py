"""The words of all active products with the tokens they are searched by, for the correction of misspellings.

All engines look up misspelt words here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
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
# unchanged rows are not written, so that no event handler waits for their locks
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
# of names, brands, categories and tags; descriptions have too many words that are never searched for
_SOLD = text(
    """
    SELECT p.name, b.name AS brand_name, c.name AS category_name,
           coalesce(p.tags, CAST('{}' AS text[])) AS tags, count(*) AS documents
    FROM products_db.products p
    LEFT JOIN products_db.categories c ON c.id = p.category_id
    LEFT JOIN products_db.brands b ON b.id = p.brand_id
    WHERE p.status = 'active'
    GROUP BY 1, 2, 3, 4
    """
)
_BATCH = 5000


def keep(session: Session, language: str, rows: Sequence[Mapping[Any, Any]]) -> None:
    """Add the words of these products' documents, as far as they are active."""
    documents: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row["status"] == "active":
            documents.update(_words(row, language))
    if documents:
        session.execute(_KEEP, _parameters(documents))


def rebuild(session: Session, language: str) -> int:
    """Replace all words and their numbers of products; how many words there are."""
    documents: Counter[tuple[str, str]] = Counter()
    rows = session.execute(_SOLD, execution_options={"yield_per": _BATCH}).mappings()
    for row in rows:
        for word in _words(row, language):
            documents[word] += row["documents"]
    session.execute(_REBUILD, _parameters(documents))
    return len(documents)


def _words(row: Mapping[Any, Any], language: str) -> set[tuple[str, str]]:
    """The different words of a product, each with the token that it is searched by."""
    texts = filter(None, (row["name"], row["brand_name"], row["category_name"], *row["tags"]))
    return set().union(*(_words_of(text, language) for text in texts))


@lru_cache(maxsize=50_000)
def _words_of(text: str, language: str) -> frozenset[tuple[str, str]]:
    pairs = (pair for term in analyser(language).of(text) for pair in _correctable(term))
    return frozenset((word, token) for word, token in pairs if 2 <= len(word) <= _LONGEST)


def _correctable(term: Term) -> Iterator[tuple[str, str]]:
    """The words of a term that can be misspelt: no numbers, units or runs of scripts without blanks."""
    token = next(tokens_in(term.asked)).text
    if term.plain:
        yield term.text, token
    elif term.parts and not token[0].isdigit():
        yield token, token
    for part in term.parts:
        yield from _correctable(part)


def _parameters(documents: Mapping[tuple[str, str], int]) -> dict[str, list[Any]]:
    # a word has one token, since the token is made from the word alone
    counts = {word: (stem, number) for (word, stem), number in documents.items()}
    return {
        "words": list(counts),
        "stems": [stem for stem, _ in counts.values()],
        "documents": [number for _, number in counts.values()],
    }
