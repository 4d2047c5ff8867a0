"""The response with one list, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import orjson

from recsys import clock
from recsys.domains.recommendations.impressions.store import Answered
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from serving.catalogue.catalogue import Catalogue
from serving.ranking.eligibility import Novelty
from serving.ranking.strategies import Source
from serving.recommender.pagination import Rest, encode
from serving.recommender.request import ITEM_LISTS, Filters, RecommendationRequest
from serving.recommender.serialization import items_of

__all__ = ["RecommendationResponse", "impression_of", "list_of", "narrowing", "render"]


@dataclass(frozen=True)
class RecommendationResponse:
    """One list and where it comes from.

    Attributes
    ----------
    entries
        The entries of this page.
    made_at
        When what the list is made of was read or counted, seconds since 1970; 0: not known.
    rest
        The entries of later pages.
    shown
        Number of products on earlier pages.
    filtered_out
        How many products are not eligible, by reason; None for a stored list without filters.
    eligible
        How many products are eligible; None for a stored list without filters.
    complete
        False: the deadline passed, and this is the best list available without waiting.
    arm
        Arm of the running A/B test; None without one.
    parts
        For each product, when requested, the parts of its score.
    propensities
        Of a list that was drawn at random: for each entry the chance of its place, given those before it;
        None for any other list.
    candidates
        The products that such a list was drawn from.
    new_products
        Products of the page whose places were reserved for new products.
    arm_propensity
        With which the visitor was assigned to the arm.
    teams, credits
        Of an interleaved list: whose product each place has, and what a success there counts; its
        propensities are as those of a drawn list.
    milliseconds
        That a list in an experiment took; None for any other.
    by_arm
        The request with what the arm of an experiment changed, which ranked the list; None: as it came.
    """

    request: RecommendationRequest
    entries: Sequence[Entry]
    source: Source
    model: str | None = None
    version: str | None = None
    generation: int | None = None
    made_at: int = 0
    rest: Sequence[Entry] = ()
    shown: int = 0
    filtered_out: Mapping[str, int] | None = None
    eligible: int | None = None
    complete: bool = True
    arm: str | None = None
    parts: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    propensities: Sequence[float | None] | None = None
    candidates: Sequence[int] | None = None
    new_products: frozenset[int] = frozenset()
    arm_propensity: float | None = None
    teams: Sequence[int | None] | None = None
    credits: Sequence[float] | None = None
    milliseconds: float | None = None
    by_arm: RecommendationRequest | None = None

    @property
    def is_full(self) -> bool:
        """Whether no other source can have more products for the page."""
        wanted = self.request.limit if self.eligible is None else min(self.request.limit, self.eligible)
        return len(self.entries) >= wanted

    # a list that is the same for everybody is sent many times
    @cached_property
    def next_cursor(self) -> str | None:
        """The cursor of the next page; None on the last one."""
        if not self.rest or not self.entries:
            return None
        shown = min(0xFFFF, self.shown + len(self.entries))
        rest = Rest(self.rest, self.source, self.model, self.version, self.generation, self.made_at, shown)
        return encode(rest, self.request)


def impression_of(response: RecommendationResponse, request_id: str) -> Answered:
    """Return what the impression log stores of a response."""
    request = response.request
    return Answered(
        request_id,
        request.name or request.placement.value,
        response.source,
        [entry.product for entry in response.entries],
        [entry.score / SCORE_UNIT for entry in response.entries],
        clock.now(),
        request.user,
        request.session,
        response.model,
        response.version,
        response.generation,
        response.arm,
        response.shown,
        response.propensities,
        response.candidates,
        response.arm_propensity,
        response.teams,
        response.credits,
        response.milliseconds,
        None if response.milliseconds is None else not response.complete,
        None if response.candidates is None else narrowing(response.by_arm or request),
    )


def narrowing(request: RecommendationRequest) -> dict[str, Any] | None:
    """Return what the request narrows its list by, as JSON has it; None where nothing does.

    The fields of `Filters` that are given, with what the page and the cart exclude, and `novelty`.
    """
    narrowed = {
        each.name: value
        for each in fields(Filters)
        if (value := getattr(request.filters, each.name)) != each.default
    }
    elsewhere = {*request.cart, *(request.on_page or ())}
    if request.placement not in ITEM_LISTS:
        elsewhere |= set(request.products)
    if elsewhere:
        narrowed["exclude"] = sorted({*request.filters.exclude, *elsewhere})
    if request.novelty is not Novelty.ANY:
        narrowed["novelty"] = request.novelty.value
    return narrowed or None


def list_of(
    catalogue: Catalogue, response: RecommendationResponse, fields: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the documented list without the request's id, for `orjson`; its items are JSON bytes.

    Parameters
    ----------
    fields
        Of each product; None for the default ones.
    """
    request = response.request
    items = orjson.Fragment(
        items_of(catalogue, response.entries, response.parts if request.explain else None, fields)
    )
    provenance: dict[str, Any] = {
        "placement": request.placement,
        "shelf": request.placement,
        "source": response.source,
        "model": response.model,
        "version": response.version,
        "generation": response.generation,
        "arm": response.arm,
        "complete": response.complete,
        "explored": response.candidates is not None,
        "new_product_ids": sorted(response.new_products),
        "features_age_seconds": _age_seconds(response.made_at),
    }
    if response.filtered_out is not None:
        provenance["filters"] = {"removed": response.filtered_out, "qualified": response.eligible}
    return {"items": items, "next_cursor": response.next_cursor, "provenance": provenance}


def _age_seconds(made_at: int) -> int:
    return max(0, int(clock.now().timestamp()) - made_at) if made_at else 0


def render(
    catalogue: Catalogue,
    response: RecommendationResponse,
    request_id: str,
    fields: Sequence[str] | None = None,
) -> bytes:
    """Return the documented response as JSON; fields as in `list_of`."""
    body = list_of(catalogue, response, fields)
    body["provenance"] = {"request_id": request_id, **body["provenance"]}
    return orjson.dumps(body)
