"""Mail block: how the block of a mail looks for a person, and what to put into the mail."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from recsys.errors import RecsysError
from recsys.settings import get_settings
from serving.console.access import Viewer
from serving.console.list_screens.naming import user_named
from serving.console.rendering import TEMPLATES, screen_router
from serving.mail_blocks.address import MAIL_PLACEMENTS, MAX_PLACES
from serving.mail_blocks.contents import link_of, mail_product, snippet
from serving.mail_blocks.filling import list_for
from serving.mail_blocks.pictures import HEIGHT, WIDTH, product_picture
from serving.recommender.recommender import Recommender
from serving.recommender.request import Placement

__all__ = ["MailBlockContent", "router"]

router = screen_router("mail-block")


class PreviewedPlace(BaseModel):
    """One place.

    Attributes
    ----------
    picture
        As a data URL.
    link
        Where a click leads; None where that is not known.
    """

    product_id: int
    name: str
    price: str
    picture: str
    link: str | None


class MailBlockContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    is_personal
        Not what everybody gets.
    html
        What a mail has.
    """

    user: str
    placement: Placement
    places: int
    products: list[PreviewedPlace] = []
    is_personal: bool = False
    html: str
    base_url: str | None
    problem: str | None = None
    placements: list[tuple[str, str]] = [
        (each.value, each.value.replace("_", " ")) for each in MAIL_PLACEMENTS
    ]
    most: int = MAX_PLACES
    width: int = WIDTH
    height: int = HEIGHT


@router.get("")
async def mail_block_preview(
    request: Request,
    user_of_console: Viewer,
    user: Annotated[str, Query(max_length=255)] = "",
    placement: Placement = Placement.FOR_YOU,
    places: Annotated[int, Query(ge=1, le=MAX_PLACES)] = 3,
) -> Response:
    """The block as the person would see it now; it is not logged as an impression."""
    content = MailBlockContent(
        user=user,
        placement=placement,
        places=places,
        html=snippet("{{mail_block}}", places),
        base_url=get_settings().mail_blocks.base_url,
    )
    try:
        if placement not in MAIL_PLACEMENTS:
            content.problem = "A mail has no product to start from; choose another placement."
        else:
            await _fill(request, content)
    except RecsysError as error:
        content.problem = error.message
    return TEMPLATES.page(request, "console/mail_block.html.j2", content)


async def _fill(request: Request, content: MailBlockContent) -> None:
    recommender: Recommender = request.app.state.recommender
    number = await run_in_threadpool(user_named, content.user)
    response, content.is_personal = await list_for(recommender, number, content.placement, content.places)
    catalogue = recommender.data.catalogue
    for entry in response.entries[: content.places]:
        product = mail_product(catalogue, entry.product)
        if product is not None:
            picture = await run_in_threadpool(product_picture, *product)
            content.products.append(
                PreviewedPlace(
                    product_id=product.number,
                    name=product.name,
                    price=product.price,
                    picture=f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}",
                    link=link_of(catalogue, product.number),
                )
            )
