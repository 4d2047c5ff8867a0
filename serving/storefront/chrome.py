"""What every page of the shop front has around its content: head, search, choice of the visitor, drawer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.orders.carts import store as carts
from recsys.domains.products import catalogue
from recsys.domains.users import administration
from recsys.web.browser.script import script
from serving.batch import interaction_index
from serving.catalogue.catalogue import Catalogue
from serving.pages.forms import redirect
from serving.pages.page_route import PageRoute
from serving.pages.templating import PageFormat, PageFrame, PageTemplates, wants_json
from serving.ranking.eligibility import SeenProducts
from serving.state.serving_data import ServingData
from serving.storefront.lists import is_plain
from serving.storefront.visitors.access import is_served
from serving.storefront.visitors.page_key import page_key
from serving.storefront.visitors.visitor import ShopVisitor, remember_visitor

__all__ = ["TEMPLATES", "ShopRoute", "UserChoice", "seen_by", "shop_page", "shop_router"]

_HOUSEHOLDS, _DEPARTMENTS = 10, 9
_CACHED_SECONDS = 30.0


class DepartmentLink(BaseModel):
    """A category at the top of the tree."""

    name: str
    path: str


class UserChoice(BaseModel):
    """A user whom the visitor can choose to be."""

    username: str
    name: str


class ModelLabel(BaseModel):
    """What ranks the lists now."""

    model: str | None
    algorithm: str | None
    version: str | None
    generation: int | None
    products: int


class ShopChrome(BaseModel):
    """The content of the frame.

    Attributes
    ----------
    viewed, bought, dismissed
        Products of the visitor's history.
    key
        Publishable key of the script; None without script.
    plain_path
        The address of this page without script.
    """

    visitor: ShopVisitor
    cart_lines: int
    departments: list[DepartmentLink]
    users: list[UserChoice]
    serving: ModelLabel
    viewed: int
    bought: int
    dismissed: int
    key: str | None
    script: str
    plain: bool
    plain_path: str


def _frame(request: Request) -> PageFrame:
    return PageFrame(site="Corner shop", home="/shop")


TEMPLATES = PageTemplates("serving.storefront", _frame, layout="storefront/layout.html.j2")


class ShopRoute(PageRoute):
    """A route of the shop front: its errors are pages of the shop."""

    templates: ClassVar[PageTemplates] = TEMPLATES


async def _page_parameters(
    plain: Annotated[Literal["1"] | None, Query(description="For a browser without scripts.")] = None,
) -> None:
    """A dependency of every page, so that its parameter is a known one."""


def shop_router() -> APIRouter:
    """A router for pages of the shop front."""
    return APIRouter(
        prefix="/shop",
        include_in_schema=False,
        route_class=ShopRoute,
        dependencies=[Depends(is_served), Depends(PageFormat), Depends(_page_parameters)],
    )


def shop_page(
    request: Request,
    visitor: ShopVisitor,
    template: str,
    content: BaseModel,
    *,
    status: int = 200,
    **context: Any,
) -> Response:
    """A page of the shop, or its content as JSON. Blocks: it reads the frame's content."""
    chrome = None if wants_json(request) else _chrome(request, visitor)
    if chrome is not None and chrome.key is None and not is_plain(request) and request.method == "GET":
        # no script at this address: the server draws the lists
        response: Response = redirect(chrome.plain_path)
    else:
        response = TEMPLATES.page(
            request, f"storefront/{template}.html.j2", content, status=status, chrome=chrome, **context
        )
    if getattr(request.state, "new_visitor", None) is not None:
        remember_visitor(response, visitor)
    return response


def seen_by(session: Session, visitor: ShopVisitor) -> SeenProducts:
    """The products of the visitor's history."""
    if visitor.user_id is not None:
        return interaction_index.of_user(session, visitor.user_id)
    return interaction_index.of_session(session, visitor.guest)


def _chrome(request: Request, visitor: ShopVisitor) -> ShopChrome:
    data: ServingData = request.app.state.recommender.data
    with unit_of_work() as session:
        departments, users = _navigation(request, session, data.catalogue)
        seen = seen_by(session, visitor)
        key = None if is_plain(request) else page_key(request, session)
    registered = None if data.model is None else data.model.registered
    return ShopChrome(
        visitor=visitor,
        cart_lines=len(carts.read(visitor.owner).lines),
        departments=list(departments),
        users=list(users),
        serving=ModelLabel(
            model=None if registered is None else registered.name,
            algorithm=None if registered is None else registered.algorithm,
            version=None if registered is None else str(registered.version),
            generation=data.generation,
            products=len(data.catalogue.shown_ids),
        ),
        viewed=len(seen.touched),
        bought=len(seen.bought),
        dismissed=len(seen.dismissed),
        key=key,
        script=script().path,
        plain=key is None,
        plain_path=str(request.url.include_query_params(plain=1).replace(scheme="", netloc="")),
    )


def _navigation(
    request: Request, session: Session, products: Catalogue
) -> tuple[Sequence[DepartmentLink], Sequence[UserChoice]]:
    """The largest departments, and some users; they change rarely and are read again after half a minute."""
    state = request.app.state.__dict__
    cached = state.get("shop_front_navigation")
    if cached is not None and time.monotonic() - cached[0] < _CACHED_SECONDS:
        return cached[1], cached[2]
    sizes = _department_sizes(products)
    largest = sorted(catalogue.tree(session), key=lambda node: (-sizes[node.id], node.name))
    departments = [
        DepartmentLink(name=node.name, path=f"/shop/categories/{node.id}")
        for node in largest[:_DEPARTMENTS]
        if sizes[node.id]
    ]
    users = [
        UserChoice(username=row.username, name=row.full_name or row.username)
        for row in administration.listed(session, status="open", prefix=None, after=0, limit=_HOUSEHOLDS)
        if not row.is_admin
    ]
    state["shop_front_navigation"] = (time.monotonic(), departments, users)
    return departments, users


def _department_sizes(products: Catalogue) -> Counter[int]:
    """The number of products on sale below each category at the top."""
    sizes: Counter[int] = Counter()
    for category, count in Counter(products.category[products.shown].tolist()).items():
        walked: set[int] = set()
        at = category
        while (parent := products.parents.get(at)) is not None and at not in walked:
            walked.add(at)
            at = parent
        sizes[at] += count
    return sizes
