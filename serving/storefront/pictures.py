"""Pictures of products that have none, as files of the shop front."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from serving.pages.pictures.drawing import picture
from serving.recommender.recommender import Recommender
from serving.storefront.visitors.access import is_served

__all__ = ["picture_path", "router"]

router = APIRouter(include_in_schema=False, dependencies=[Depends(is_served)])
_A_DAY = "public, max-age=86400"


def picture_path(product: int) -> str:
    """The address of the drawn picture of a product."""
    return f"/shop/pictures/{product}.svg"


# asynchronous, so that it takes no thread
@router.get("/shop/pictures/{product}.svg", response_class=Response)
async def product_picture(request: Request, product: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> Response:
    """The drawn picture of a product; a basket for products that are not on sale."""
    recommender: Recommender = request.app.state.recommender
    summary = recommender.data.catalogue.summaries.get(product)
    name, category = ("", None) if summary is None else (summary.name, summary.details.category)
    headers = {"Cache-Control": _A_DAY, "X-Content-Type-Options": "nosniff"}
    return Response(picture(product, name, category), media_type="image/svg+xml", headers=headers)
