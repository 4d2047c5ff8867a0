"""Query parameters of lists, validated and parsed into `Filters`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query, Request

from recsys.errors import Invalid
from recsys.own_ids.references import BrandText, CategoryText, ProductText
from recsys.settings import get_settings
from recsys.web.query_parameters import with_prefix
from serving.ranking.eligibility import Novelty
from serving.recommender.request import Filters, Placement

__all__ = [
    "Country",
    "CursorParam",
    "Diversity",
    "Explain",
    "FiltersDep",
    "Limit",
    "NoveltyParam",
    "PlacementDep",
    "limit_of",
]

_ATTRIBUTE = re.compile(r"[A-Za-z0-9_.-]{1,50}")
MAX_ATTRIBUTES = 10
MAX_VALUE_LENGTH = 200

Limit = Annotated[
    int | None,
    Query(ge=1, le=100, description="How many products; default: the setting `serving.default_limit` (20)."),
]
NoveltyParam = Annotated[
    Novelty, Query(description="`new`: only products that the user has no interaction with.")
]
CursorParam = Annotated[
    str | None, Query(max_length=8_000, description="`next_cursor` of the previous page.")
]
Diversity = Annotated[
    float,
    Query(ge=0, le=1, allow_inf_nan=False, description="0: by score alone; 1: as diverse as possible."),
]
Explain = Annotated[bool, Query(description="With the parts of each score, in the model's own units.")]
Country = Annotated[
    str | None,
    Query(pattern="^[A-Za-z]{2}$", description="ISO 3166 code: products recently sent to this country."),
]


def limit_of(limit: int | None) -> int:
    """Return the requested number of products, or the default."""
    return limit or get_settings().serving.default_limit


@with_prefix("attr.")
def _parse_filters(
    request: Request,
    category: Annotated[
        list[CategoryText] | None,
        Query(max_length=50, description="Categories, each with its subcategories."),
    ] = None,
    brand: Annotated[list[BrandText] | None, Query(max_length=50, description="Any of these brands.")] = None,
    min_price: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    max_price: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    tags: Annotated[
        list[str] | None, Query(max_length=20, description="Repeat for several; a product must have all.")
    ] = None,
    in_stock: Annotated[bool | None, Query(description="true: in stock now, not only on order.")] = None,
    created_since: Annotated[
        datetime | None, Query(description="Added to the shop then or later; UTC where no zone is given.")
    ] = None,
    exclude: Annotated[
        list[ProductText] | None, Query(max_length=200, description="Products that must not appear.")
    ] = None,
) -> Filters:
    attributes = _parse_attributes(request)
    moment = None
    if created_since is not None:
        aware = created_since if created_since.tzinfo else created_since.replace(tzinfo=UTC)
        moment = aware.timestamp()
    if min_price is not None and max_price is not None and min_price > max_price:
        raise Invalid(f"min_price ({min_price:g}) is more than max_price ({max_price:g}).", field="min_price")
    return Filters(
        tuple(category or ()),
        tuple(brand or ()),
        min_price,
        max_price,
        tuple(tags or ()),
        in_stock,
        moment,
        tuple(exclude or ()),
        attributes,
    )


def _parse_attributes(request: Request) -> tuple[tuple[str, str], ...]:
    """Parse `attr.NAME=VALUE`."""
    attributes = []
    for name, value in request.query_params.multi_items():
        if name.startswith("attr."):
            attribute = name.removeprefix("attr.")
            if not _ATTRIBUTE.fullmatch(attribute) or not 0 < len(value) <= MAX_VALUE_LENGTH or "\0" in value:
                raise Invalid(
                    "attr.NAME: a name of letters, digits, '_', '.' or '-' (at most 50) and a value of 1 to "
                    f"{MAX_VALUE_LENGTH} characters are expected.",
                    field="attr",
                )
            attributes.append((attribute, value))
    if len(attributes) > MAX_ATTRIBUTES:
        raise Invalid(f"At most {MAX_ATTRIBUTES} attributes can be filtered by at once.", field="attr")
    return tuple(attributes)


FiltersDep = Annotated[Filters, Depends(_parse_filters)]


def _parse_placement(
    placement: Annotated[Placement | None, Query(description="Which list; default: `for_you`.")] = None,
    shelf: Annotated[
        Placement | None, Query(deprecated=True, description="The former name of `placement`.")
    ] = None,
) -> Placement:
    if placement is not None and shelf is not None and placement is not shelf:
        raise Invalid("placement and shelf differ; leave out shelf, its former name.", field="shelf")
    return placement or shelf or Placement.FOR_YOU


PlacementDep = Annotated[Placement, Depends(_parse_placement)]
