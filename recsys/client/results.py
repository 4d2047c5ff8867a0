"""Typed results; what the API adds later is in `members`, and breaks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "EventReport",
    "EventVerdict",
    "ListProvenance",
    "RecommendedList",
    "RecommendedProduct",
    "SearchedProducts",
]

Members = Mapping[str, Any]


@dataclass(frozen=True)
class RecommendedProduct:
    """One product of a list.

    Attributes
    ----------
    name, price
        None where `fields=` leaves them out.
    score
        0 to 1: the probability that the user chooses the product; its meaning by type is in the API's docs.
    type
        collaborative, content_based, popular or similar.
    reason, reason_code
        Why the product is in the list, as a sentence and as a code.
    members
        All fields of the answer, such as `explanation`.
    """

    product_id: int
    sku: str | None
    name: str | None
    price: float | None
    score: float
    type: str
    reason: str
    reason_code: str
    members: Members

    @classmethod
    def of(cls, members: Members) -> RecommendedProduct:
        """Return the product that an item of an answer describes."""
        reason = members["reason"]
        return cls(
            product_id=members["product_id"],
            sku=members.get("sku"),
            name=members.get("name"),
            price=members.get("price"),
            score=members["score"],
            type=members["type"],
            reason=reason["text"],
            reason_code=reason["code"],
            members=members,
        )


@dataclass(frozen=True)
class ListProvenance:
    """Where a list comes from: `stored`, `live` or `popular`, by which model; feedback names `request_id`."""

    request_id: str
    placement: str
    source: str
    model: str | None
    complete: bool
    members: Members


@dataclass(frozen=True)
class RecommendedList:
    """A list, best first; `next_cursor` is None on its last page."""

    items: Sequence[RecommendedProduct]
    next_cursor: str | None
    provenance: ListProvenance

    @classmethod
    def of(cls, body: Members, request_id: str | None = None) -> RecommendedList:
        """Return the list of an answer; `request_id` where it stands outside of the list."""
        provenance = body["provenance"]
        return cls(
            items=tuple(RecommendedProduct.of(item) for item in body["items"]),
            next_cursor=body.get("next_cursor"),
            provenance=ListProvenance(
                request_id=request_id or provenance["request_id"],
                placement=provenance["placement"],
                source=provenance["source"],
                model=provenance["model"],
                complete=provenance["complete"],
                members=provenance,
            ),
        )


@dataclass(frozen=True)
class SearchedProducts:
    """One page of search results; an item is a mapping as the API documents it (`search_products`)."""

    search_id: str
    total: int
    items: Sequence[Members]
    next_cursor: str | None
    members: Members

    @classmethod
    def of(cls, body: Members) -> SearchedProducts:
        """Return the results of an answer."""
        return cls(
            search_id=body["search_id"],
            total=body["total"],
            items=tuple(body["items"]),
            next_cursor=body.get("next_cursor"),
            members=body,
        )


@dataclass(frozen=True)
class EventVerdict:
    """What happened to one event: stored, duplicate, queued, ignored, or refused for a reason."""

    index: int
    status: str
    reason: str | None


@dataclass(frozen=True)
class EventReport:
    """The verdicts of the sent events, in their order; refused events are here, and raise nothing."""

    verdicts: Sequence[EventVerdict]

    @classmethod
    def of(cls, body: Members) -> EventReport:
        """Return the report of an answer, or of the problem that all events were refused."""
        return cls(
            tuple(EventVerdict(each["index"], each["status"], each["reason"]) for each in body["verdicts"])
        )

    @classmethod
    def joined(cls, reports: Sequence[EventReport], sizes: Sequence[int]) -> EventReport:
        """Return one report of several requests.

        Parameters
        ----------
        sizes
            How many events each of the requests had.
        """
        verdicts: list[EventVerdict] = []
        start = 0
        for report, size in zip(reports, sizes, strict=True):
            verdicts += [
                EventVerdict(start + each.index, each.status, each.reason) for each in report.verdicts
            ]
            start += size
        return cls(tuple(verdicts))

    def count(self, status: str) -> int:
        """Return how many events have this status."""
        return sum(verdict.status == status for verdict in self.verdicts)

    @property
    def refused(self) -> Sequence[EventVerdict]:
        """The verdicts of refused events, each with its reason."""
        return tuple(verdict for verdict in self.verdicts if verdict.status == "refused")
