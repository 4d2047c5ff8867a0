"""The application that the shop talks to: the core's routes and serving's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from recsys import log
from recsys.api import create_api
from recsys.search.ranking import personalization
from recsys.settings import get_settings
from serving.api import reports, rule_previews
from serving.api.fast_path import Shortcut
from serving.api.routes import router
from serving.ranking.search_personalization import ModelPersonaliser
from serving.server.runtime_tuning import steady
from serving.state.serving_state import State, running_state

__all__ = ["create_app"]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with running_state(getattr(app.state, "prepared", None)) as state:
        app.state.serving = state
        personalization.use(ModelPersonaliser(state))
        try:
            with steady():
                yield
        finally:
            personalization.use(None)


def create_app(prepared: State | None = None) -> FastAPI:
    """A fresh application; its state, or the one prepared, is filled when it starts (ASGI lifespan)."""
    routers = (router, reports.router, rule_previews.router)
    app = create_api(routers, lifespan=_lifespan, middleware=[Middleware(Shortcut)])
    app.state.prepared = prepared
    return app


def create_worker() -> FastAPI:
    """The same for a worker process, which has its logs to set up by itself."""
    log.configure(get_settings().log_level)
    return create_app()
