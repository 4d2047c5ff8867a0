"""The best matches in a user's own order, page by page, and the others after them.

The first `window` matches by text are reordered by the text's score times the user's score. Both factors
depend on one product alone, so a page can begin right after the last product of the previous page, whatever
was added or deleted in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from recsys.log import get_logger
from recsys.search.queries import Hit, Key, ProductQuery, SearchResult
from recsys.search.ranking import formula as ranking
from recsys.search.ranking import personalization
from recsys.settings import get_settings
from recsys.web.pagination import Cursor

__all__ = ["PagePosition", "PersonalPage", "page"]

_SLACK = 20  # new matches that may push others out of the window between two pages
_log = get_logger(__name__)


@dataclass(frozen=True)
class PagePosition:
    """Where a page in a user's order ended, and where the window ends in the common order."""

    worth: float
    product_id: int
    end: tuple[Key, int]

    def values(self) -> dict[str, int | float | str]:
        """As part of a cursor."""
        return {"worth": self.worth, "own": self.product_id, "end": self.end[0], "end_id": self.end[1]}

    @classmethod
    def of(cls, cursor: Cursor, key_of: Callable[[Cursor, str], Key]) -> PagePosition | None:
        """From a cursor, if it is part of it. Raises Invalid."""
        if "own" not in cursor.values:
            return None
        worth = float(key_of(cursor, "worth"))
        return cls(worth, cursor.integer("own"), (key_of(cursor, "end"), cursor.integer("end_id")))


@dataclass(frozen=True)
class PersonalPage:
    """A page in a user's own order: `own_order` continues in the window, `after` behind it."""

    hits: Sequence[Hit]
    found: SearchResult
    own_order: PagePosition | None
    after: tuple[Key, int] | None


def page(
    session: Session,
    user_id: int,
    query: ProductQuery,
    begin: PagePosition | None,
    find: Callable[[ProductQuery], SearchResult],
) -> PersonalPage | None:
    """A page in the user's own order; None for a user without history, or without a personaliser."""
    personaliser = personalization.current()
    if personaliser is None:
        return None
    settings = get_settings().search
    found = find(replace(query, limit=settings.window + _SLACK, after=None))
    window = found.hits[: settings.window]
    if begin is not None:
        window = [hit for hit in found.hits if (hit.key, hit.product_id) >= begin.end]
    if not window:
        return None
    try:
        scores = personaliser.scores(session, user_id, [hit.product_id for hit in window])
    except Exception as error:  # noqa: BLE001 a fault of a recommender must not fail the search
        _log.error("a search is not personalised", error=repr(error))
        return None
    if scores is None:
        return None
    end = (window[-1].key, window[-1].product_id) if begin is None else begin.end
    ranked = sorted(
        (
            (_worth(hit.key, scores.get(hit.product_id, 0.0), settings.personal_weight), hit.product_id, hit)
            for hit in window
        ),
        key=lambda scored: scored[:2],
        reverse=True,
    )
    if begin is not None:
        ranked = [scored for scored in ranked if scored[:2] < (begin.worth, begin.product_id)]
    shown = ranked[: query.limit]
    hits = [hit for _, _, hit in shown]
    if len(ranked) > query.limit:
        return PersonalPage(hits, found, PagePosition(shown[-1][0], shown[-1][1], end), None)
    # the window is exhausted: the rest comes in the common order
    wanted = query.limit - len(hits)
    rest = find(replace(query, limit=wanted + 1, after=end, facets=()))
    if not rest.hits:
        return PersonalPage(hits, found, None, None)
    hits += rest.hits[:wanted]
    last = rest.hits[wanted - 1] if wanted else None
    if len(rest.hits) <= wanted:
        return PersonalPage(hits, found, None, None)
    return PersonalPage(hits, found, None, end if last is None else (last.key, last.product_id))


def _worth(key: Key, score: float, weight: float) -> float:
    return ranking.raised(float(key), min(1.0, max(0.0, float(score))), weight)
