"""All routes of the console."""

from __future__ import annotations

from fastapi import APIRouter

from recsys.errors import NotFound
from serving.console.access import Viewer
from serving.console.list_screens.routers import LIST_SCREENS
from serving.console.rendering import screen_router
from serving.console.screens import experiments, jobs, mail_blocks, models, overview, session
from serving.console.screens.administration import audit, keys, settings, staff

__all__ = ["router"]

SCREENS: tuple[APIRouter, ...] = (
    # one line for each screen; those with fixed addresses before those with parts in them
    session.router,
    *LIST_SCREENS,
    overview.router,
    jobs.router,
    models.router,
    experiments.router,
    mail_blocks.router,
    keys.router,
    staff.router,
    audit.router,
    settings.router,
)

router = APIRouter()
for _screen in SCREENS:
    router.include_router(_screen)

_rest = screen_router("")


# the last one: an address that no screen has
@_rest.get("/{rest:path}")
def no_such_screen(user: Viewer, rest: str) -> None:
    """A page that says so, instead of a problem document."""
    raise NotFound("The console has no page at this address.")


router.include_router(_rest)
