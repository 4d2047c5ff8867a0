"""The words of everything that is sold, with their stems: what typed words may have meant, or stand for.

PostgreSQL looks up misspelt words in it. Elasticsearch, whose documented fields know no stems, is asked for
the other forms of a word that are in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Session

from recsys.search.documents import TREE

__all__ = ["Word", "keep", "rebuild", "words"]

_STEM = "coalesce((tsvector_to_array(to_tsvector(CAST(:language AS regconfig), {word})))[1], {word})"
_STEM_OF_LEXEME = _STEM.format(word="lexeme")
# of names, brands, categories and tags; descriptions hold too many that are nobody's search
_SOLD = """
    products_db.products p
    LEFT JOIN products_db.categories c ON c.id = p.category_id
    LEFT JOIN products_db.brands b ON b.id = p.brand_id
    CROSS JOIN LATERAL unnest(tsvector_to_array(to_tsvector(
        'simple', concat_ws(' ', p.name, b.name, c.name, array_to_string(p.tags, ' '))
    ))) AS lexeme
    WHERE p.status = 'active' AND length(lexeme) BETWEEN 2 AND 40
"""
_KEEP = text(
    f"""
    INSERT INTO products_db.search_words (word, stem, documents)
    SELECT DISTINCT lexeme, {_STEM_OF_LEXEME}, 1 FROM {_SOLD} AND p.id = ANY(:ids)
    ORDER BY lexeme
    ON CONFLICT (word) DO NOTHING
    """  # noqa: S608
)
# what did not change is not touched, so that no event's handler has to wait for it
_REBUILD = text(
    f"""
    WITH fresh AS MATERIALIZED (
        SELECT lexeme AS word, {_STEM_OF_LEXEME} AS stem, count(*) AS documents FROM {_SOLD} GROUP BY lexeme
    ), gone AS (
        DELETE FROM products_db.search_words w WHERE NOT EXISTS (SELECT FROM fresh f WHERE f.word = w.word)
    ), stored AS (
        INSERT INTO products_db.search_words AS kept (word, stem, documents)
        SELECT word, stem, documents FROM fresh ORDER BY word
        ON CONFLICT (word) DO UPDATE SET stem = excluded.stem, documents = excluded.documents
        WHERE (kept.stem, kept.documents) IS DISTINCT FROM (excluded.stem, excluded.documents)
    )
    SELECT count(*) FROM fresh
    """  # noqa: S608
)
_WORDS = text(
    f"""
    WITH RECURSIVE {TREE}, paths AS MATERIALIZED (
        SELECT id, to_tsvector(CAST(:language AS regconfig), names) AS path FROM tree
    ), given AS (
        SELECT word, place, plainto_tsquery(CAST(:language AS regconfig), word) AS query
        FROM unnest(:words) WITH ORDINALITY AS typed(word, place)
    )
    SELECT word,
           ARRAY(SELECT s.word FROM products_db.search_words s
                 WHERE s.stem = {_STEM.format(word="given.word")} AND s.word <> given.word
                 ORDER BY s.documents DESC, s.word LIMIT :most) AS forms,
           ARRAY(SELECT id FROM paths WHERE path @@ query ORDER BY id) AS categories
    FROM given WHERE numnode(query) > 0 ORDER BY place
    """  # noqa: S608
).bindparams(bindparam("words", type_=ARRAY(TEXT)))
_MOST_FORMS = 10


@dataclass(frozen=True)
class Word:
    """A word that was typed; others of its stem; the categories that it names, and those below them."""

    word: str
    forms: tuple[str, ...] = ()
    categories: tuple[int, ...] = ()


def keep(session: Session, language: str, ids: Sequence[int]) -> None:
    """Bring in the words of these products."""
    session.execute(_KEEP, {"ids": sorted(set(ids)), "language": language})


def rebuild(session: Session, language: str) -> int:
    """All words, with their numbers of products; how many there are."""
    return int(session.scalar(_REBUILD, {"language": language}) or 0)


def words(session: Session, typed: Sequence[str], language: str) -> list[Word]:
    """Those that say something, in their order: words such as `the` are left out."""
    values = {"words": list(typed), "language": language, "most": _MOST_FORMS}
    return [
        Word(word, tuple(forms), tuple(categories))
        for word, forms, categories in session.execute(_WORDS, values)
    ]
