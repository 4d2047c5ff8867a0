"""The overview: what is served now."""

from __future__ import annotations

from datetime import datetime

from fastapi import Request, Response
from pydantic import BaseModel

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import generations
from serving.console.access import Viewer
from serving.console.rendering import TEMPLATES, screen_router
from serving.state.serving_data import ServingData

__all__ = ["OverviewContent", "router"]

router = screen_router("")


class ServedModel(BaseModel):
    """The model that is loaded."""

    name: str
    algorithm: str
    trained_at: datetime


class ServedGeneration(BaseModel):
    """The stored lists that are displayed."""

    id: int
    model: str
    users: int
    live_at: datetime | None


class OverviewContent(BaseModel):
    """The content of the screen. products, displayable_products : of the catalogue in memory."""

    model: ServedModel | None
    model_problem: str | None
    generation: ServedGeneration | None
    products: int
    displayable_products: int
    running_test: str | None


@router.get("")
def overview(request: Request, user: Viewer) -> Response:
    """What is served now."""
    return TEMPLATES.page(request, "console/overview.html.j2", _content(request.app.state.refresher.data))


def _content(data: ServingData) -> OverviewContent:
    with unit_of_work() as session:
        live = generations.live(session)
    loaded = data.model
    return OverviewContent(
        model=None
        if loaded is None
        else ServedModel(
            name=loaded.registered.name,
            algorithm=loaded.registered.algorithm,
            trained_at=loaded.registered.last_trained_at,
        ),
        model_problem=data.model_problem,
        generation=None
        if live is None
        else ServedGeneration(id=live.id, model=live.model, users=live.users, live_at=live.live_at),
        products=len(data.catalogue),
        displayable_products=int(data.catalogue.shown.sum()),
        running_test=None if data.test is None else data.test.test.name,
    )
