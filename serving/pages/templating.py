"""Templates of pages: one Jinja environment for each package, in which nothing is left undefined.

A screen makes one Pydantic model of its content. `PageTemplates.page` renders it, or returns it as JSON where
the address ends in `?format=json`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import jinja2
import orjson
from fastapi import Query, Request, Response
from markupsafe import Markup
from pydantic import BaseModel
from starlette.responses import HTMLResponse

from recsys import clock
from recsys.durations import format_seconds
from recsys.settings import get_settings
from serving.pages import charts
from serving.pages.assets import asset
from serving.pages.forms import (
    NOTICE_COOKIE,
    TOKEN_FIELD,
    form_token,
    notice_of,
    with_form_cookie,
)
from serving.pages.pictures.drawing import picture
from serving.pages.security_headers import PAGE_HEADERS

__all__ = [
    "THEME_COOKIE",
    "NavigationGroup",
    "NavigationLink",
    "PageFormat",
    "PageFrame",
    "PageTemplates",
    "wants_json",
]

THEME_COOKIE = "recsys_theme"
THEMES = ("auto", "light", "dark")
_CURRENCY_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_WITHOUT_CENTS = {"CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"}
"""Currencies of ISO 4217 without a minor unit."""
_DAY = 86_400.0


@dataclass(frozen=True)
class NavigationLink:
    """One entry of the navigation."""

    title: str
    path: str
    current: bool = False


@dataclass(frozen=True)
class NavigationGroup:
    """Entries under one heading."""

    title: str
    links: Sequence[NavigationLink]


@dataclass(frozen=True)
class PageFrame:
    """What surrounds the content of a page.

    Attributes
    ----------
    banner
        A line above everything.
    """

    site: str
    home: str
    groups: Sequence[NavigationGroup] = ()
    user_name: str | None = None
    role: str | None = None
    can_log_out: bool = False
    banner: str | None = None
    allowed: frozenset[str] = field(default_factory=frozenset)
    """Names of the roles that the user has; templates leave out buttons that would be refused."""


async def page_format(
    format: Annotated[
        Literal["html", "json"] | None, Query(description="json: the content of the page as JSON.")
    ] = None,
) -> str:
    """A dependency of every page: the parameter `format`."""
    return format or "html"


PageFormat = page_format
"""Name of the dependency for routers: `dependencies=[Depends(PageFormat)]`."""


def wants_json(request: Request) -> bool:
    """Whether the content is asked for as JSON."""
    return request.query_params.get("format") == "json"


class PageTemplates:
    """The templates of one package, over those of `serving.pages`.

    Parameters
    ----------
    package
        Such as serving.console; its templates lie in `templates/`.
    frame
        Makes what surrounds the content from the request.
    layout
        The template that a page without one of its own (an error) extends.
    """

    def __init__(
        self, package: str, frame: Callable[[Request], PageFrame], layout: str = "base.html.j2"
    ) -> None:
        self._frame = frame
        loaders = [jinja2.PackageLoader(name) for name in dict.fromkeys((package, "serving.pages"))]
        self.environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader(loaders),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters.update(
            money=money,
            number=number,
            percent=percent,
            short=short,
            age=age,
            moment=moment,
            seconds=format_seconds,
        )
        self.environment.globals.update(
            asset=asset, charts=charts, layout=layout, picture=picture, token_field=TOKEN_FIELD
        )

    def page(
        self,
        request: Request,
        template: str,
        content: BaseModel,
        *,
        status: int = 200,
        **context: Any,
    ) -> Response:
        """The model `content` through a template that reads it as `page`; as JSON where that is asked for."""
        if wants_json(request):
            body = orjson.dumps(content.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
            headers = {"Cache-Control": "no-store"}
            return Response(body, status, media_type="application/json", headers=headers)
        return self.render(request, template, status=status, page=content, **context)

    def render(self, request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """A template with the request's frame, notice and form token."""
        theme = request.cookies.get(THEME_COOKIE, "auto")
        notice = notice_of(request)
        html = self.environment.get_template(template).render(
            request=request,
            frame=self._frame(request),
            notice=notice,
            form_token=form_token(request),
            theme=theme if theme in THEMES else "auto",
            here=_here(request),
            **context,
        )
        response = HTMLResponse(html, status, headers=dict(PAGE_HEADERS))
        with_form_cookie(request, response)
        if NOTICE_COOKIE in request.cookies:
            response.delete_cookie(NOTICE_COOKIE)
        return response


def money(amount: Decimal | float | None) -> str:
    """An amount in the shop's currency, such as $1,234.50; a dash for None."""
    if amount is None:
        return "–"
    currency = get_settings().shop.currency
    sign = _CURRENCY_SIGNS.get(currency)
    digits = f"{abs(amount):,.{0 if currency in _WITHOUT_CENTS else 2}f}"
    minus = "−" if amount < 0 else ""
    return f"{minus}{sign}{digits}" if sign else f"{minus}{digits} {currency}"


def number(value: float | None, digits: int = 0) -> str:
    """A number with separators, such as 12,345; a dash for None."""
    return "–" if value is None else _signed(f"{value:,.{digits}f}")


def short(value: float | None) -> str:
    """A number of any size with four digits that matter, such as 10,700 or 0.0952; a dash for None."""
    if value is None:
        return "–"
    rounded = float(f"{value:.4g}")
    return _signed(f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:.6f}".rstrip("0").rstrip("."))


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage, such as 3.2%; a dash for None."""
    return "–" if share is None else _signed(f"{share * 100:.{digits}f}%")


def _signed(digits: str) -> str:
    """With a minus sign instead of a hyphen, and none before a zero."""
    return digits.removeprefix("-") if not digits.strip("-0.%,") else digits.replace("-", "−")


def age(then: datetime | None) -> str:
    """How long ago a moment was, such as "5 min ago"; "never" for None."""
    if then is None:
        return "never"
    seconds = (clock.now() - then).total_seconds()
    if seconds < 0:
        return f"in {_span(-seconds)}"
    return "just now" if seconds < 45 else f"{_span(seconds)} ago"


def moment(then: datetime | None) -> str:
    """A `time` element with the moment in UTC; a dash for None."""
    if then is None:
        return "–"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        then.isoformat(), age(then), then.strftime("%-d %b %Y, %H:%M")
    )


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{round(seconds)} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 2 * _DAY:
        return f"{round(seconds / 3600)} h"
    return f"{round(seconds / _DAY)} days"


def _here(request: Request) -> str:
    """The path and query of this page, for the way back after a form."""
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path
