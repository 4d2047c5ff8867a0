"""Blocks of recommendations in mails over HTTP: made by administrators, opened by address."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import NAMESPACE_URL, uuid5

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse

from recsys.domains.recommendations import service
from recsys.errors import NotFound, RecsysError
from recsys.log import get_logger
from recsys.own_ids.references import UserRef
from recsys.web.dependencies import BriefAdmin
from recsys.web.errors import problem_responses
from recsys.write_buffer.buffer import Sender
from recsys.write_buffer.senders import in_post_thread
from serving.mail_blocks.address import MAX_PLACES, block_url, new_block, read_address
from serving.mail_blocks.contents import fragment, link_of, mail_product, snippet
from serving.mail_blocks.filling import FilledBlock, fill, limit_requests
from serving.mail_blocks.pictures import empty_picture, product_picture
from serving.recommender.recommender import Recommender
from serving.recommender.request import Placement

__all__ = ["router"]

router = APIRouter()
_log = get_logger(__name__)
_CLICKS = uuid5(NAMESPACE_URL, "urn:recsys:mail-click")
_PRIVATE = {
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Referrer-Policy": "no-referrer",
}
_PICTURE = {
    **_PRIVATE,
    "Cache-Control": "private, max-age=3600",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""The products of a block stay; within an hour a name or price may change."""
_FRAGMENT = {
    **_PRIVATE,
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; img-src *; style-src 'unsafe-inline'; frame-ancestors *",
}
_LINK = {**_PRIVATE, "Cache-Control": "no-store"}
Address = Annotated[str, Path(max_length=100, description="As it was made.")]
Place = Annotated[int, Path(ge=1, le=MAX_PLACES, description="From 1.")]


class MailBlockIn(BaseModel):
    """For whom a block is, and what it shows."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"user_id": 5, "placement": "for_you", "places": 3}]},
    )

    user_id: UserRef
    placement: Placement = Field(
        default=Placement.FOR_YOU, description="Not `similar` or `bought_together`, which need a product."
    )
    places: int = Field(default=3, ge=1, le=MAX_PLACES, description="Products side by side.")
    valid_days: float | None = Field(
        default=None, gt=0, le=366, description="Then it shows what is popular; default: the setting's."
    )


class MailBlockOut(BaseModel):
    """A block of its own, for one mail."""

    address: str = Field(description="Of the block as HTML; with `/1.png` of a picture, with `/1` of a link.")
    html: str = Field(description="What the mail has in its HTML: pictures and links.")
    expires_at: datetime


@router.post(
    "/api/v1/admin/mail-blocks",
    tags=["mail blocks"],
    responses=problem_responses(401, 403, 404, 422, 503),
)
def create_mail_block(http: Request, _admin: BriefAdmin, given: MailBlockIn) -> MailBlockOut:
    """The address of a block of recommendations that is filled when the mail is opened.

    Nothing is stored: the address alone opens the block, and it tells neither the person nor anything
    about them. `recsys segments … --csv FILE --mail-block for_you` makes one for each member of a segment.
    """
    block = new_block(given.user_id, given.placement, given.places, given.valid_days)
    address = block_url(block, str(http.base_url))
    expires = datetime.fromtimestamp(block.expires * 3600, UTC)
    return MailBlockOut(address=address, html=snippet(address, block.places), expires_at=expires)


@router.get(
    "/api/v1/mail-blocks/{address}",
    tags=["mail blocks"],
    response_class=Response,
    responses={200: {"content": {"text/html": {}}}, **problem_responses(404, 422, 429, 503)},
)
async def mail_block(http: Request, address: Address) -> Response:
    """The block as a fragment of HTML, for the client that opens the mail; no key is needed.

    Who refuses personalisation gets popular products, and so does an address that has expired.
    """
    filled = await _filled(http, address)
    catalogue = _recommender(http).data.catalogue
    products = [mail_product(catalogue, number) for number in filled.products]
    own = str(http.url_for("mail_block", address=address))
    body = fragment(own, [product for product in products if product is not None])
    return Response(body, media_type="text/html; charset=utf-8", headers=_FRAGMENT)


@router.get(
    "/api/v1/mail-blocks/{address}/{place}.png",
    tags=["mail blocks"],
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **problem_responses(404, 422, 429, 503)},
)
async def mail_block_picture(http: Request, address: Address, place: Place) -> Response:
    """The product at one place as a picture; a transparent pixel where there is none."""
    filled = await _filled(http, address)
    product = None
    if place <= len(filled.products):
        product = mail_product(_recommender(http).data.catalogue, filled.products[place - 1])
    body = empty_picture() if product is None else await run_in_threadpool(product_picture, *product)
    return Response(body, media_type="image/png", headers=_PICTURE)


@router.get(
    "/api/v1/mail-blocks/{address}/{place}",
    tags=["mail blocks"],
    status_code=303,
    response_class=Response,
    responses={303: {"description": "To the product in the shop"}, **problem_responses(404, 422, 429, 503)},
)
async def mail_block_link(http: Request, address: Address, place: Place) -> Response:
    """Lead to the product at one place, and count a click on the recommendation: one for a block and product.

    A place without a product leads to the shop.
    """
    filled = await _filled(http, address)
    number = filled.products[place - 1] if place <= len(filled.products) else None
    target = link_of(_recommender(http).data.catalogue, number)
    if target is None:
        raise NotFound("The shop's pages are not known: set RECSYS_SHOP__PRODUCT_URL.")
    if number is not None and filled.is_kept and http.method == "GET":
        await _count_click(filled, number)
    return RedirectResponse(target, 303, headers=_LINK)


async def _filled(http: Request, address: str) -> FilledBlock:
    block, block_id = read_address(address)
    await limit_requests(block_id)
    return await fill(_recommender(http), http.app.state.impressions.note, block, block_id)


async def _count_click(filled: FilledBlock, number: int) -> None:
    click = {
        "request_id": filled.request_id,
        "product_id": number,
        "feedback_type": "clicked",
        # prefetching scanners and repeated clicks count once
        "event_id": str(uuid5(_CLICKS, f"{filled.request_id}:{number}")),
    }
    try:
        await in_post_thread(service.record_feedback, click, Sender(with_key=True))
    except RecsysError as error:
        # the person is on the way to the product and must not wait for our figures
        _log.warning("a click in a mail is not counted", error=error.message)


def _recommender(http: Request) -> Recommender:
    recommender: Recommender = http.app.state.recommender
    return recommender
