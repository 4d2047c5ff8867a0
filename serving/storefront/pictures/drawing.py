"""Pictures of products that have none: a glyph of the kind of goods in a colour of the product's own (SVG).

The same product always gets the same picture: colour and background follow from its number.
"""

from __future__ import annotations

import colorsys
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from serving.recommender.recommender import Recommender
from serving.storefront.pictures.glyphs import glyph_of, glyphs
from serving.storefront.visitors.access import is_served

__all__ = ["picture", "picture_path", "router"]

router = APIRouter(include_in_schema=False, dependencies=[Depends(is_served)])
_A_DAY = "public, max-age=86400"
_MOST_HUE_SHIFT = 14
_GROUNDS = (
    '<circle cx="32" cy="33" r="26" fill="{front}"/>',
    '<rect x="8" y="9" width="48" height="48" rx="14" fill="{front}"/>',
    '<path d="M0 46c12-10 22-10 32-2s22 6 32-4v24H0z" fill="{front}"/>',
    '<g fill="{front}"><circle cx="14" cy="14" r="16"/><circle cx="54" cy="50" r="18"/></g>',
)


def picture_path(product: int) -> str:
    """The address of the drawn picture of a product."""
    return f"/shop/pictures/{product}.svg"


def picture(product: int, name: str, category: str | None) -> str:
    """An SVG of 64 by 64 units, without text and without style: it takes the place of a photograph."""
    glyph = glyphs()[glyph_of(category or "", name)]
    mark = (product * 2654435761) % 2**32  # Knuth's multiplicative hash: neighbours differ
    hue = (glyph.hue + mark % (2 * _MOST_HUE_SHIFT + 1) - _MOST_HUE_SHIFT) % 360
    lightness = (mark >> 8) % 9 - 4
    shapes = glyph.shapes.format(
        a=_colour(hue, 68, 52 + lightness),
        b=_colour(hue, 74, 76 + lightness),
        c=_colour(hue, 58, 36 + lightness),
    )
    back, front = _colour(hue, 45, 92), _colour(hue, 48, 85)
    ground = _GROUNDS[(mark >> 16) % len(_GROUNDS)].format(front=front)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
        f'<path d="M0 0h64v64H0z" fill="{back}"/>{ground}'
        f'<g transform="translate(6.4 6.8) scale(.8)">{shapes}</g></svg>'
    )


def _colour(hue: int, saturation: int, lightness: int) -> str:
    parts = colorsys.hls_to_rgb(hue / 360, lightness / 100, saturation / 100)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


# asynchronous, so that it takes no thread
@router.get("/shop/pictures/{product}.svg", response_class=Response)
async def product_picture(request: Request, product: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> Response:
    """The drawn picture of a product; a basket for products that are not on sale."""
    recommender: Recommender = request.app.state.recommender
    summary = recommender.data.catalogue.summaries.get(product)
    name, category = ("", None) if summary is None else (summary.name, summary.details.category)
    headers = {"Cache-Control": _A_DAY, "X-Content-Type-Options": "nosniff"}
    return Response(picture(product, name, category), media_type="image/svg+xml", headers=headers)
