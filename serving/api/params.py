"""The query parameters that narrow a list, checked and put into a `Filters`."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query, Request

from recsys.errors import Invalid
from recsys.settings import get_settings
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

_ID = {"ge": 1, "le": 2**31 - 1}
Id = Annotated[int, Query(**_ID)]
KNOWN = frozenset(
    {"limit", "cursor", "novelty", "placement", "shelf", "category", "brand", "min_price", "max_price",
     "tags", "in_stock", "created_since", "exclude", "diversity", "explain", "country"}
)  # fmt: skip
_ATTRIBUTE = re.compile(r"[A-Za-z0-9_.-]{1,50}")
MOST_ATTRIBUTES = 10
LONGEST_VALUE = 200

Limit = Annotated[
    int | None,
    Query(ge=1, le=100, description="How many products; default: the setting `serving.default_limit` (20)."),
]
NoveltyParam = Annotated[Novelty, Query(description="`new`: only products the user never touched.")]
CursorParam = Annotated[
    str | None, Query(max_length=8_000, description="`next_cursor` of the page before this one.")
]
Diversity = Annotated[
    float,
    Query(ge=0, le=1, allow_inf_nan=False, description="0: by score alone; 1: as different as can be."),
]
Explain = Annotated[bool, Query(description="With the parts of each score, in the model's own units.")]
Country = Annotated[
    str | None, Query(pattern="^[A-Za-z]{2}$", description="ISO 3166 code: what is sent there lately.")
]


def limit_of(given: int | None) -> int:
    """How many products are asked for."""
    return given or get_settings().serving.default_limit


def _filters(
    request: Request,
    category: Annotated[
        list[Id] | None, Query(max_length=50, description="Ids; each with all categories below it.")
    ] = None,
    brand: Annotated[list[Id] | None, Query(max_length=50, description="Ids of brands.")] = None,
    min_price: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    max_price: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    tags: Annotated[
        list[str] | None, Query(max_length=20, description="Repeat for several; a product must have all.")
    ] = None,
    in_stock: Annotated[
        bool | None, Query(description="true: a piece is there now, not only on order.")
    ] = None,
    created_since: Annotated[
        datetime | None, Query(description="Arrived in the shop then or later; UTC where no zone is given.")
    ] = None,
    exclude: Annotated[list[Id] | None, Query(max_length=200, description="Ids of products.")] = None,
) -> Filters:
    attributes = _attributes(request)
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


def _attributes(request: Request) -> tuple[tuple[str, str], ...]:
    """The `attr.NAME=VALUE`; anything else that is not known is refused rather than overlooked."""
    found = []
    for name, value in request.query_params.multi_items():
        if name.startswith("attr."):
            attribute = name.removeprefix("attr.")
            if not _ATTRIBUTE.fullmatch(attribute) or not 0 < len(value) <= LONGEST_VALUE or "\0" in value:
                raise Invalid(
                    "attr.NAME: a name of letters, digits, '_', '.' or '-' (at most 50) and a value of 1 to "
                    f"{LONGEST_VALUE} characters are expected.",
                    field="attr",
                )
            found.append((attribute, value))
        elif name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, n=1)
            hint = (
                f" Did you mean {near[0]}?" if near else f" Known are {', '.join(sorted(KNOWN))}, attr.NAME."
            )
            raise Invalid(f"There is no parameter of that name.{hint}", field=name[:50])
    if len(found) > MOST_ATTRIBUTES:
        raise Invalid(f"At most {MOST_ATTRIBUTES} attributes can be asked for at once.", field="attr")
    return tuple(found)


FiltersDep = Annotated[Filters, Depends(_filters)]


def _placement(
    placement: Annotated[Placement | None, Query(description="Which list; default: `for_you`.")] = None,
    shelf: Annotated[
        Placement | None, Query(deprecated=True, description="The former name of `placement`.")
    ] = None,
) -> Placement:
    if placement is not None and shelf is not None and placement is not shelf:
        raise Invalid("placement and shelf differ; leave out shelf, its former name.", field="shelf")
    return placement or shelf or Placement.FOR_YOU


PlacementDep = Annotated[Placement, Depends(_placement)]
