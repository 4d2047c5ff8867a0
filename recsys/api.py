"""The HTTP face of the core: every application starts from this one, so that errors and logs are the same."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response
from fastapi_offline import FastAPIOffline

from recsys.domains.analytics.routes import router as analytics
from recsys.domains.notifications.admin_routes import router as notifications_admin
from recsys.domains.notifications.routes import router as notifications
from recsys.domains.orders.admin_routes import router as orders_admin
from recsys.domains.orders.routes import router as orders
from recsys.domains.payments.routes import router as payments
from recsys.domains.products import views
from recsys.domains.products.admin_routes import router as products_admin
from recsys.domains.products.routes import router as products
from recsys.domains.recommendations import guests
from recsys.domains.recommendations.routes import router as recommendations
from recsys.domains.users.routes import router as users
from recsys.domains.users.service import at_login
from recsys.domains.users.social_routes import router as social
from recsys.web.errors import Problem, install_error_handlers, problem_responses
from recsys.web.metrics import CONTENT_TYPE, render
from recsys.web.middleware import RequestContext

__all__ = ["create_api"]

ROUTERS = (
    recommendations,
    users,
    social,
    products,
    products_admin,
    orders,
    orders_admin,
    payments,
    notifications,
    notifications_admin,
    analytics,
)

_DESCRIPTION = """Recommendations for a shop: tell it what users do, ask it what they may like.

Every error is `application/problem+json` (RFC 9457) and carries the `request_id` that the log knows it by."""


def create_api(**options: Any) -> FastAPI:
    """An application with the core's routes, middleware and error handlers; `options` go to FastAPI."""
    # /docs brings its own script and style: it works without a network, and tells nobody who reads it
    app = FastAPIOffline(redoc_url=None, title="recsys", version="1", description=_DESCRIPTION, **options)
    install_error_handlers(app)
    # what a guest did is the user's with the log-in itself, not only once a consumer hears of it
    at_login(views.adopt)
    at_login(guests.adopt)
    app.add_middleware(RequestContext)
    for router in ROUTERS:
        app.include_router(router)

    @app.get(
        "/metrics",
        tags=["operations"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    def metrics() -> Response:
        """Counts and durations in Prometheus' text format, of this process."""
        return Response(render(), media_type=CONTENT_TYPE)

    _document_problems(app)
    return app


def _document_problems(app: FastAPI) -> None:
    written = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = written()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            template = "#/components/schemas/{model}"
            problem = Problem.model_json_schema(ref_template=template)
            schemas.update(problem.pop("$defs", {}))
            schemas["Problem"] = problem
            # FastAPI's own error shape is never sent
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for path in document["paths"].values():
                for operation in path.values():
                    for status, response in operation["responses"].items():
                        if status >= "400":
                            response["content"] = problem_responses(int(status))[int(status)]["content"]
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
