"""The HTTP face of the core: every application starts from this one, so that errors and logs are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from recsys.domains.analytics.routes import router as analytics
from recsys.domains.notifications.admin_routes import router as notifications_admin
from recsys.domains.notifications.routes import router as notifications
from recsys.domains.orders.admin_routes import router as orders_admin
from recsys.domains.orders.routes import router as orders
from recsys.domains.payments.routes import router as payments
from recsys.domains.products import views
from recsys.domains.products.admin_routes import router as products_admin
from recsys.domains.products.routes import router as products
from recsys.domains.recommendations.interactions import guest_identity
from recsys.domains.recommendations.routes import router as recommendations
from recsys.domains.recommendations.rules.routes import router as rules
from recsys.domains.users.admin_routes import router as users_admin
from recsys.domains.users.routes import router as users
from recsys.domains.users.service import at_login
from recsys.domains.users.social.routes import router as social
from recsys.search.routes import router as search
from recsys.search.synonyms.routes import router as synonyms
from recsys.settings import get_settings
from recsys.web.access.authentication import Gate
from recsys.web.dependencies import GUEST_HEADER
from recsys.web.errors import Problem, install_error_handlers, problem_responses
from recsys.web.metrics import CONTENT_TYPE, render
from recsys.web.middleware import RequestContextMiddleware
from recsys.web.pan_filter import CardCheck

__all__ = ["create_api"]

# those that answer most come first: a request looks at the routes one by one
ROUTERS = (
    recommendations,
    search,
    synonyms,
    rules,
    users,
    users_admin,
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

_WAYS_IN = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "`recsys keys create`"},
    "token": {"type": "http", "scheme": "bearer", "description": "of `POST /api/v1/auth/login`"},
}


def create_api(first: Sequence[APIRouter] = (), **options: Any) -> FastAPI:
    """An application with the core's routes, middleware and error handlers; `options` go to FastAPI.

    first : looked through before the core's, for what is asked for most or waited for least
    """
    # /docs brings its own script and style: it works without a network, and tells nobody who reads it
    app = FastAPIOffline(redoc_url=None, title="recsys", version="1", description=_DESCRIPTION, **options)
    install_error_handlers(app)
    # what a guest did is the user's with the log-in itself, not only once a consumer hears of it
    at_login(views.adopt)
    at_login(guest_identity.adopt)
    # a request meets the middleware that was added last first
    app.add_middleware(CardCheck)
    app.add_middleware(Gate)
    app.add_middleware(RequestContextMiddleware)
    _let_pages_of_others_in(app)
    for router in (*first, *ROUTERS):
        app.include_router(router)

    @app.get(
        "/metrics",
        tags=["operations"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    def metrics() -> Response:
        """Counts and durations in Prometheus' text format, of all workers together."""
        return Response(render(), media_type=CONTENT_TYPE)

    _document_problems(app)
    return app


def _let_pages_of_others_in(app: FastAPI) -> None:
    origins = get_settings().api.cors_origins
    if origins:
        # outside of everything: a page must be able to read errors as well
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_credentials=True,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Idempotency-Key",
                "If-Match",
                GUEST_HEADER,
                "X-Api-Key",
                "X-Request-ID",
            ],
            expose_headers=["ETag", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID"],
            max_age=600,
        )


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
            document["components"]["securitySchemes"] = _WAYS_IN
            # each is optional here: what a route asks for stands in its description and its 401
            document["security"] = [{}, *({name: []} for name in _WAYS_IN)]
            for path in document["paths"].values():
                for operation in path.values():
                    # whatever a route takes: a card's number is taken by none
                    operation["responses"].setdefault("422", problem_responses(422)[422])
                    for status, response in operation["responses"].items():
                        if status >= "400":
                            response["content"] = problem_responses(int(status))[int(status)]["content"]
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
