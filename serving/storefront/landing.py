"""The start page of the server: what there is to look at, and where."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from serving.pages.page_route import PageRoute
from serving.pages.templating import PageFrame, PageTemplates
from serving.storefront.visitors.access import serves_front

__all__ = ["LandingPage", "router"]

TEMPLATES = PageTemplates("serving.storefront", lambda _: PageFrame(site="recsys", home="/"))


class LandingRoute(PageRoute):
    """A route whose errors are pages."""

    templates = TEMPLATES


class LandingLink(BaseModel):
    """A part of the server for people."""

    title: str
    path: str
    text: str


class LandingPage(BaseModel):
    """The links of the start page."""

    links: list[LandingLink]


router = APIRouter(include_in_schema=False, route_class=LandingRoute)

_FRONT = LandingLink(
    title="Shop front",
    path="/shop",
    text="See what customers see: be any household or a new guest, look at products, watch the lists follow.",
)
_REST = (
    LandingLink(
        title="Console",
        path="/console",
        text="Run it: what is served now, why a person sees a product, rules, models, experiments, data.",
    ),
    LandingLink(
        title="API",
        path="/docs",
        text="Every route with its schemas and examples, to try in the browser.",
    ),
)


# asynchronous, so that it takes no thread
@router.get("/")
async def start(request: Request) -> Response:
    """The start page."""
    links = [*([_FRONT] if serves_front(request) else []), *_REST]
    return TEMPLATES.page(request, "storefront/landing.html.j2", LandingPage(links=links))
