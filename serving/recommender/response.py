"""A finished list, and the bytes in which it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from recsys import clock
from recsys.domains.recommendations.impressions.store import Answered
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from serving.catalogue.catalogue import Catalogue
from serving.ranking.strategies import Source
from serving.recommender.pagination import Rest, encode
from serving.recommender.request import RecommendationRequest
from serving.recommender.serialization import items_of

__all__ = ["RecommendationResponse", "answered", "render", "shelf_of"]


@dataclass(frozen=True)
class RecommendationResponse:
    """What one shelf shows and where it comes from.

    rest      what follows on later pages; shown: products on earlier ones
    removed   how many products did not filter_products, by why; None where a stored list was taken as it is
    arm       of the A/B test that runs, None without one
    complete  False: time ran out, and this is the best there was by then
    parts     of each product, when that was asked for, what its score is made of
    """

    wish: RecommendationRequest
    entries: Sequence[Entry]
    source: Source
    model: str | None = None
    version: str | None = None
    generation: int | None = None
    made_at: int = 0
    rest: Sequence[Entry] = ()
    shown: int = 0
    removed: Mapping[str, int] | None = None
    qualified: int | None = None
    complete: bool = True
    arm: str | None = None
    parts: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page; None on the last one."""
        if not self.rest or not self.entries:
            return None
        shown = min(0xFFFF, self.shown + len(self.entries))
        rest = Rest(self.rest, self.source, self.model, self.version, self.generation, self.made_at, shown)
        return encode(rest, self.wish)


def answered(answer: RecommendationResponse, request_id: str, name: str | None = None) -> Answered:
    """What the log of exposures keeps of an answer."""
    wish = answer.wish
    return Answered(
        request_id,
        name or wish.shelf.value,
        answer.source,
        [one.product for one in answer.entries],
        [one.score / SCORE_UNIT for one in answer.entries],
        clock.now(),
        wish.user,
        wish.session,
        answer.model,
        answer.version,
        answer.generation,
        answer.arm,
        answer.shown,
    )


def shelf_of(catalogue: Catalogue, answer: RecommendationResponse) -> dict[str, Any]:
    """One shelf as it is documented, without the id of the request, for `orjson`: its items are finished."""
    items = orjson.Fragment(
        items_of(catalogue, answer.entries, answer.parts if answer.wish.explain else None)
    )
    provenance: dict[str, Any] = {
        "shelf": answer.wish.shelf,
        "source": answer.source,
        "model": answer.model,
        "version": answer.version,
        "generation": answer.generation,
        "arm": answer.arm,
        "complete": answer.complete,
        "features_age_seconds": _age(answer.made_at),
    }
    if answer.removed is not None:
        provenance["filters"] = {"removed": answer.removed, "qualified": answer.qualified}
    return {"items": items, "next_cursor": answer.next_cursor, "provenance": provenance}


def _age(made_at: int) -> int:
    return max(0, int(clock.now().timestamp()) - made_at) if made_at else 0


def render(catalogue: Catalogue, answer: RecommendationResponse, request_id: str) -> bytes:
    """The documented answer as JSON."""
    shelf = shelf_of(catalogue, answer)
    shelf["provenance"] = {"request_id": request_id, **shelf["provenance"]}
    return orjson.dumps(shelf)
