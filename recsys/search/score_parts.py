"""The parts of a search's scores: what the text is worth, and what popularity and a user's taste add."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.search.analysis.analyser import analyser, words_of
from recsys.search.backends.factory import chosen
from recsys.search.queries import ProductQuery
from recsys.search.ranking import formula, personalization
from recsys.search.synonyms import service as synonyms
from recsys.search.tables import ProductSearch
from recsys.settings import get_settings

__all__ = ["ExplainedHit", "ExplainedSearch", "explain"]

_POSTGRESQL = "postgresql"
_KEY_UNIT = 1_000_000_000.0
"""PostgreSQL's key of a match is its worth as a whole number of this part."""


@dataclass(frozen=True)
class ExplainedHit:
    """One match. worth = text × (1 + popularity) × (1 + taste); the last two are shares that are added.

    Attributes
    ----------
    popularity
        None where the index computes it itself, within `text`.
    """

    product_id: int
    worth: float
    text: float
    popularity: float | None
    taste: float


@dataclass(frozen=True)
class ExplainedSearch:
    """A search without its pages.

    Attributes
    ----------
    words
        As they were understood.
    any_word
        One word was enough.
    """

    words: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    any_word: bool
    did_you_mean: str | None
    total: int
    hits: tuple[ExplainedHit, ...]


def explain(session: Session, text: str, *, user_id: int | None, limit: int) -> ExplainedSearch:
    """Search as `recsys.search.service.search` does, and return the parts of each score.

    Nothing is counted or published.

    Parameters
    ----------
    text
        What is searched for.
    user_id
        Whose taste counts; None for nobody's.
    limit
        So many matches at most.

    Raises
    ------
    SearchDown
        The index does not answer.
    """
    settings = get_settings().search
    words = words_of(text)
    groups = synonyms.groups_for(session, analyser(settings.language), words) if words else ()
    index = chosen()
    query = ProductQuery(words=words, synonyms=groups, limit=max(limit, settings.window))
    result, any_word = index.search_products(session, query), False
    if result.total == 0 and len(words) > 1:
        wider = index.search_products(session, replace(query, any_word=True))
        result, any_word = (wider, True) if wider.total else (result, False)
    products = [hit.product_id for hit in result.hits]
    popularity: Mapping[int, float] = {}
    if index.name == _POSTGRESQL and words:
        rows = session.execute(
            select(ProductSearch.product_id, ProductSearch.popularity).where(
                ProductSearch.product_id.in_(products)
            )
        )
        popularity = {row.product_id: formula.fame(row.popularity) for row in rows}
    personaliser = personalization.current()
    tastes: Mapping[int, float] = {}
    if user_id is not None and personaliser is not None and words:
        tastes = personaliser.scores(session, user_id, products) or {}
    hits = []
    for hit in result.hits:
        unit = _KEY_UNIT if index.name == _POSTGRESQL else 1.0
        key = float(hit.key) / unit
        share = settings.popularity_weight * popularity.get(hit.product_id, 0.0)
        taste = settings.personal_weight * min(1.0, max(0.0, tastes.get(hit.product_id, 0.0)))
        hits.append(
            ExplainedHit(
                hit.product_id,
                key * (1.0 + taste),
                key / (1.0 + share),
                share if hit.product_id in popularity else None,
                taste,
            )
        )
    # the first window of matches is put into the user's own order, as the search does
    if tastes:
        hits.sort(key=lambda hit: (-hit.worth, -hit.product_id))
    return ExplainedSearch(words, groups, any_word, result.did_you_mean, result.total, tuple(hits[:limit]))
