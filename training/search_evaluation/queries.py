"""What test users would have typed for what they bought, and everything the shop's search finds for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.search.analysis.analyser import words_of
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.search.queries import ProductQuery
from recsys.search.ranking import formula as ranking
from recsys.settings import SearchSettings
from training.evaluation.splits import Fold

__all__ = ["By", "Need", "SearchMatches", "fame_of", "fetch", "needs_of", "types_of"]

By = Literal["type", "category"]
Words = tuple[str, ...]
PATIENCE_SECONDS = 60.0
"""All matches of a word take longer than the one page that a shop asks for."""


@dataclass(frozen=True, eq=False)
class SearchMatches:
    """All that search finds for some words, of what the training data knows.

    Attributes
    ----------
    columns : int64, shape (n,)
        Rows of the training data's items, the highest product id first, so that a stable sort by worth leaves
        ties as the index does.
    text : float64, shape (n,)
        What the text is worth as the index counts it, in whole numbers.
    """

    columns: npt.NDArray[np.int64]
    text: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Need:
    """One query of one user: `right` are the columns of what they bought of it in the test period."""

    user: int
    words: Words
    right: npt.NDArray[np.int64]


def types_of(train: Dataset, by: By) -> list[Words]:
    """The words that each item would be searched by; none where it has no name for it.

    Parameters
    ----------
    by
        `type`: the name up to its first comma, without words that hold a digit ("Soft Drinks, 12 pk") unless
        all do. `category`: the name of its own category.
    """
    features = train.item_features
    if by == "category":
        asked = [words_of(path.rsplit(" > ", 1)[-1]) for path in features.category_paths]
        return [asked[place] if place >= 0 else () for place in features.category.tolist()]
    known: dict[str, Words] = {}
    for name in features.names:
        if name not in known:
            known[name] = _type_of(name)
    return [known[name] for name in features.names]


def _type_of(name: str) -> Words:
    words = words_of(name.split(",")[0])
    plain = tuple(word for word in words if not any(letter.isdigit() for letter in word))
    return plain or words


def needs_of(fold: Fold, types: Sequence[Words]) -> list[Need]:
    """One query for each user and type they bought of, users in the order of the fold."""
    found: list[Need] = []
    for row in range(fold.users.size):
        bought: dict[Words, list[int]] = defaultdict(list)
        for column in fold.relevant.indices[fold.relevant.indptr[row] : fold.relevant.indptr[row + 1]]:
            bought[types[column]].append(int(column))
        found += [
            Need(row, words, np.array(columns, dtype=np.int64))
            for words, columns in sorted(bought.items())
            if words
        ]
    return found


def fetch(
    session: Session,
    settings: SearchSettings,
    train: Dataset,
    asked: Sequence[Words],
    advance: Callable[[int], None] = lambda queries: None,
) -> dict[Words, SearchMatches]:
    """Look up all matches of each query in the shop's PostgreSQL index, as a search of the shop does.

    Misspellings are corrected, and any word is enough where no product has all. Popularity is left out.
    """
    index = PostgresIndex(
        settings.model_copy(update={"popularity_weight": 0.0, "timeout_seconds": PATIENCE_SECONDS})
    )
    found: dict[Words, SearchMatches] = {}
    for words in asked:
        query = ProductQuery(words=words, limit=max(1, len(train.items)))
        page = index.search_products(session, query)
        if page.total == 0 and len(words) > 1:
            page = index.search_products(session, replace(query, any_word=True))
        ids = np.array([hit.product_id for hit in page.hits], dtype=np.int64)
        text = np.array([float(hit.key) for hit in page.hits], dtype=np.float64)
        order = np.argsort(-ids)
        columns = train.items.index(ids[order])
        known = columns >= 0  # what came into the shop after the cut could not be found then
        found[words] = SearchMatches(columns[known], text[order][known])
        advance(1)
    return found


def fame_of(train: Dataset, weights: Mapping[str, float], half_life_days: float) -> npt.NDArray[np.float64]:
    """Fame of each item at the end of the training data.

    It is that of the popularity of the index (`recsys/search/ranking/popularity.py`), counted from nothing
    later.

    Parameters
    ----------
    weights
        What an interaction counts, by its type.
    half_life_days
        After so many days it counts half.

    Returns
    -------
    float64, shape (items,)
        0 to 1.
    """
    table = np.array([weights.get(word, 0.0) for word in INTERACTION_TYPES] + [0.0])
    total = np.zeros(len(train.items))
    newest = max((int(e.time.max()) for e in (train.events, train.cut.events) if len(e)), default=0)
    for events in (train.events, train.cut.events):
        age = (newest - events.time) / MICROSECONDS_PER_DAY
        worth = table[events.kind] * np.exp2(-age / half_life_days)
        total += np.bincount(events.item, weights=worth, minlength=len(train.items))
    popularity = np.log1p(np.maximum(total, 0.0))
    return np.array([ranking.fame(one) for one in popularity.tolist()])
