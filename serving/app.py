"""The application that the shop talks to: the core's routes and serving's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from recsys import log
from recsys.api import create_api
from recsys.search import personal
from recsys.settings import get_settings
from serving import previews, reports
from serving.personal import ModelPersonaliser
from serving.routes import router
from serving.shortcut import Shortcut
from serving.state import State, running_state
from serving.steady import steady

__all__ = ["create_app"]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with running_state(getattr(app.state, "prepared", None)) as state:
        app.state.serving = state
        personal.use(ModelPersonaliser(state))
        try:
            with steady():
                yield
        finally:
            personal.use(None)


def create_app(prepared: State | None = None) -> FastAPI:
    """A fresh application; its state, or the one prepared, is filled when it starts (ASGI lifespan)."""
    routers = (router, reports.router, previews.router)
    app = create_api(routers, lifespan=_lifespan, middleware=[Middleware(Shortcut)])
    app.state.prepared = prepared
    return app


def create_worker() -> FastAPI:
    """The same for a worker process, which has its logs to set up by itself."""
    log.configure(get_settings().log_level)
    return create_app()
