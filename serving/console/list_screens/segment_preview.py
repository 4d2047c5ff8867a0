"""The people of a segment in the placement studio: whose lists are compared, and what these hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel

from recsys.errors import Invalid
from serving.catalogue.catalogue import Catalogue
from serving.console.list_screens.segment_form import (
    SegmentForm,
    named_segment,
    understood_form,
)
from serving.segments.members import SEGMENT_TITLES

__all__ = ["PreviewedProduct", "PreviewedSegment", "SegmentPerson", "listed_products", "previewed"]

PREVIEWED_PEOPLE, PREVIEWED_PRODUCTS = 10, 20


class SegmentPerson(BaseModel):
    """One of the first members.

    Attributes
    ----------
    own_id
        As fields take it.
    about
        The product or category meant.
    """

    user_id: int
    own_id: str
    about: str
    chance: float | None


class PreviewedProduct(BaseModel):
    """A product, and on how many of the members' first pages it is, before and with the changes."""

    product_id: int
    name: str
    before: int
    after: int


class PreviewedSegment(BaseModel):
    """The segment.

    Attributes
    ----------
    edit
        The address of its screen.
    understood
        What its fields name.
    """

    title: str
    edit: str
    understood: list[tuple[str, str]]
    people: list[SegmentPerson]
    products: list[PreviewedProduct] = []


def previewed(catalogue: Catalogue, query: str) -> PreviewedSegment:
    """Make the segment that a query names. Raises Invalid and NotFound, also for nobody."""
    form = SegmentForm.of_query(query)
    if form.kind is None:
        raise Invalid("The segment of this address has no kind; choose it again.")
    understood = understood_form(catalogue, form, form.kind, PREVIEWED_PEOPLE)
    if understood.request is None:
        raise Invalid("; ".join(understood.problems.values()))
    _, members = named_segment(understood.request)
    if not members:
        raise Invalid("Nobody is in this segment.")
    return PreviewedSegment(
        title=SEGMENT_TITLES[form.kind],
        edit=f"/console/segments?{form.query()}",
        understood=understood.named,
        people=[
            SegmentPerson(
                user_id=each.user_id,
                own_id=each.username or str(each.user_id),
                about=each.category or each.product or "",
                chance=each.chance,
            )
            for each in members
        ],
    )


def listed_products(
    catalogue: Catalogue, pages: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> list[PreviewedProduct]:
    """The products of most pages.

    Parameters
    ----------
    pages
        Of each person, the products before and with the changes.
    """
    before, after = (Counter(product for page in pages for product in page[place]) for place in (0, 1))
    numbers = sorted(before.keys() | after.keys(), key=lambda each: (-after[each], -before[each], each))
    return [
        PreviewedProduct(
            product_id=each,
            name=catalogue.name(each) or f"product {each}",
            before=before[each],
            after=after[each],
        )
        for each in numbers[:PREVIEWED_PRODUCTS]
    ]
