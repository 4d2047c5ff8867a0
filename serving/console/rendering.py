"""How the console renders: its templates, what surrounds each screen, and the class of its routes."""

from __future__ import annotations

from typing import ClassVar

from fastapi import APIRouter, Depends, Request

from serving.console.access import ROLES, ConsoleUser
from serving.console.navigation import navigation_for
from serving.pages.page_route import PageRoute
from serving.pages.templating import PageFormat, PageFrame, PageTemplates

__all__ = ["HOME", "LOG_IN", "TEMPLATES", "ConsoleRoute", "screen_router"]

HOME, LOG_IN = "/console", "/console/log-in"


def _frame(request: Request) -> PageFrame:
    user: ConsoleUser | None = getattr(request.state, "console_user", None)
    if user is None:
        return PageFrame(site="recsys console", home=HOME)
    logged_in = user.user_id is not None
    return PageFrame(
        site="recsys console",
        home=HOME,
        groups=navigation_for(request.url.path, user.role),
        user_name=user.name,
        role=user.role.label,
        can_log_out=logged_in,
        banner=None
        if logged_in
        else "Development on this machine: no log-in is needed, everything is allowed.",
        allowed=frozenset(role.label for role in ROLES if user.may(role)),
    )


TEMPLATES = PageTemplates("serving.console", _frame, layout="console/layout.html.j2")


class ConsoleRoute(PageRoute):
    """A route of the console."""

    templates: ClassVar[PageTemplates] = TEMPLATES
    log_in_path: ClassVar[str | None] = LOG_IN


def screen_router(path: str) -> APIRouter:
    """A router for the screen at /console/PATH, or at /console for an empty path."""
    return APIRouter(
        prefix=f"{HOME}/{path}" if path else HOME,
        route_class=ConsoleRoute,
        include_in_schema=False,
        dependencies=[Depends(PageFormat)],
    )
