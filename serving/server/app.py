"""The HTTP application: the routes of `recsys` and of serving, and the pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from recsys import log
from recsys.api import create_api
from recsys.observation.tracing import tracing
from recsys.search.ranking import personalization
from recsys.settings import get_settings
from serving.api import experiments, reports, rule_previews, segments, stored_segments, why_not
from serving.api.list_route import ParsedQueries
from serving.api.routes import list_routes, router
from serving.console.router import router as console
from serving.gorse.routes import router as gorse
from serving.mail_blocks import routes as mail_blocks
from serving.pages.assets import router as assets
from serving.ranking.search_personalization import ModelPersonaliser
from serving.recommender.recommender import Recommender
from serving.server.runtime_tuning import tuned_runtime
from serving.state.impression_log import ImpressionLog
from serving.state.metrics import LateShare
from serving.state.refresher import Refresher
from serving.storefront.router import router as storefront

__all__ = ["create_app"]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    refresher: Refresher = app.state.refresher
    late_share = LateShare()
    deadline = get_settings().serving.deadline_ms / 1000
    recommender = Recommender(
        refresher, refresher.redis, late_share, deadline=deadline, exploration=get_settings().exploration
    )
    impressions = ImpressionLog(late_share)
    app.state.recommender, app.state.impressions, app.state.late_share = recommender, impressions, late_share
    personalization.use(ModelPersonaliser(lambda: refresher.data))
    try:
        with tracing("api"):
            async with refresher.running(), impressions:
                with tuned_runtime():
                    yield
                await to_thread.run_sync(recommender.close)
    finally:
        personalization.use(None)


def create_app(prepared: Refresher | None = None) -> FastAPI:
    """Return a new application; its serving data is read, or completed, at startup (ASGI lifespan)."""
    pages = (assets, console, storefront)
    administered = (reports, rule_previews, why_not, experiments, segments, stored_segments, mail_blocks)
    administration = (module.router for module in administered)
    routers = (router, *administration, gorse, *pages)
    app = create_api(routers, lifespan=_lifespan, routes=list_routes)
    app.state.refresher = prepared or Refresher()
    app.state.parsed_queries = ParsedQueries()
    return app


def create_worker() -> FastAPI:
    """Return the application of a worker process, which configures its own logs."""
    log.configure(get_settings().log_level)
    return create_app()
