"""The fields that name a segment in the console, and what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Query
from pydantic import BaseModel, Field, ValidationError

from recsys.database.session import unit_of_work
from recsys.domains.products.catalogue import name_of
from recsys.errors import Invalid, NotFound
from recsys.own_ids.answers import usernames_of
from recsys.own_ids.scheme import IdKind
from serving.catalogue.catalogue import Catalogue
from serving.console.list_screens.naming import (
    brand_named,
    category_named,
    each_named,
    moment_named,
    product_named,
    user_named,
)
from serving.segments.members import NamedMember, Segment, SegmentKind, named
from serving.segments.service import SegmentRequest, make

__all__ = [
    "FormQuery",
    "SegmentForm",
    "UnderstoodForm",
    "named_segment",
    "understood_form",
]

Words = Annotated[str, Query(max_length=2_000)]
ShortWords = Annotated[str, Query(max_length=255)]


class SegmentForm(BaseModel):
    """The fields of the screen, as they were typed."""

    kind: SegmentKind | None = None
    products: str = ""
    category: str = ""
    brand: str = ""
    users: str = ""
    new: bool = False
    days: float = Field(default=7.0, gt=0, le=366, allow_inf_nan=False)
    as_of: str = ""

    def query(self) -> str:
        """The fields that are filled in, as the query of an address."""
        return urlencode(self.model_dump(mode="json", exclude_defaults=True))

    @classmethod
    def of_query(cls, query: str) -> SegmentForm:
        """Read what `query` gave. Raises Invalid."""
        try:
            return cls.model_validate(dict(parse_qsl(query)))
        except (ValidationError, ValueError) as error:
            raise Invalid("The segment of this address cannot be read; choose it again.") from error


@dataclass
class UnderstoodForm:
    """What the fields name.

    Attributes
    ----------
    problems
        Of each field that names nothing, by its name.
    """

    request: SegmentRequest | None = None
    named: list[tuple[str, str]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def _form(
    kind: SegmentKind | None = None,
    products: Words = "",
    category: ShortWords = "",
    brand: ShortWords = "",
    users: Words = "",
    new: bool = False,
    days: Annotated[float, Query(gt=0, le=366, allow_inf_nan=False)] = 7.0,
    as_of: Annotated[str, Query(max_length=40)] = "",
) -> SegmentForm:
    """Read the address."""
    return SegmentForm(
        kind=kind, products=products, category=category, brand=brand, users=users, new=new, days=days,
        as_of=as_of,
    )  # fmt: skip


FormQuery = Annotated[SegmentForm, Depends(_form)]


def understood_form(catalogue: Catalogue, form: SegmentForm, kind: SegmentKind, limit: int) -> UnderstoodForm:
    """Read the fields that this kind uses; the others are left alone, as they may be of another kind."""
    found = UnderstoodForm()
    buyers, alike = kind is SegmentKind.BUYERS, kind is SegmentKind.LOOK_ALIKES
    products: tuple[int, ...] = ()
    users: tuple[int, ...] = ()
    category = brand = as_of = None
    if buyers:
        with _problem_of("products", found):
            products = each_named(form.products, "products", lambda words: product_named(catalogue, words))
        with _problem_of("category", found):
            category = category_named(form.category)
        with _problem_of("brand", found):
            brand = brand_named(form.brand)
    if alike:
        with _problem_of("users", found):
            users = each_named(form.users, "people", user_named)
    with _problem_of("as_of", found):
        as_of = moment_named(form.as_of)
    found.named = _names(catalogue, products, category, brand, users)
    if not found.problems:
        found.request = SegmentRequest(
            kind, products, category, brand, users, form.new and buyers, form.days, limit=limit, as_of=as_of
        )
    return found


def _names(
    catalogue: Catalogue,
    products: Sequence[int],
    category: int | None,
    brand: int | None,
    users: Sequence[int],
) -> list[tuple[str, str]]:
    """What was understood, as label and name, so that a wrong match of a name is seen."""
    found = [("product", catalogue.name(each) or f"number {each}") for each in products]
    with unit_of_work() as session:
        for kind, number in ((IdKind.CATEGORY, category), (IdKind.BRAND, brand)):
            if number is not None:
                found.append((kind.value, name_of(session, kind, number) or f"number {number}"))
        usernames = usernames_of(session, users)
    return found + [("person", usernames.get(each) or f"number {each}") for each in users]


@contextmanager
def _problem_of(name: str, found: UnderstoodForm) -> Iterator[None]:
    """Note an error beside its field."""
    try:
        yield
    except (Invalid, NotFound) as error:
        found.problems[name] = error.message


def named_segment(wanted: SegmentRequest) -> tuple[Segment, list[NamedMember]]:
    """Make a segment, and name its members. Raises as `serving.segments.service.make`."""
    with unit_of_work() as session:
        segment = make(session, wanted)
        return segment, named(session, segment.members)
