"""The HTTP application of the core: every application starts from it, with the same errors and logs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.routing import iter_route_contexts
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

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
from recsys.domains.users.api_keys.api_key_cache import KeyRing
from recsys.domains.users.api_keys.routes import router as publishable_keys
from recsys.domains.users.routes import router as users
from recsys.domains.users.service import at_login
from recsys.domains.users.social.routes import router as social
from recsys.observation.request_spans import RequestSpans
from recsys.observation.shop_state import ShopState
from recsys.privacy import consent
from recsys.privacy.routes import router as privacy
from recsys.private_folder import keep_private
from recsys.search.routes import router as search
from recsys.search.synonyms.routes import router as synonyms
from recsys.settings import get_settings
from recsys.web.access.authentication import Gate
from recsys.web.access.cross_origin import EXPOSED_HEADERS, PageOrigins
from recsys.web.access.guest_sessions import GUEST_HEADER
from recsys.web.browser.script import router as browser_script
from recsys.web.errors import install_error_handlers
from recsys.web.head_requests import HeadRequests
from recsys.web.metrics import CONTENT_TYPE, render
from recsys.web.middleware import MAX_BODY_BYTES, RequestContextMiddleware
from recsys.web.openapi.document import complete_document, operation_id
from recsys.web.pan_filter import CardCheck
from recsys.web.query_parameters import REQUEST_CHECKS
from recsys.web.request_body import PlainBody

__all__ = ["create_api"]

# the most requested come first: a request is compared with the routes one by one
ROUTERS = (
    recommendations,
    search,
    synonyms,
    rules,
    users,
    users_admin,
    publishable_keys,
    social,
    products,
    products_admin,
    orders,
    orders_admin,
    payments,
    notifications,
    notifications_admin,
    analytics,
    privacy,
    browser_script,
)

_routes: dict[int, Sequence[BaseRoute]] = {}
"""By the id of the router, which its routes keep alive: routers are not hashable."""
_DESCRIPTION = """Recommendations for a shop: send what users do, get what they may like.

Every error is `application/problem+json` (RFC 9457) with the `request_id` that is in the log.
Operation ids are stable."""


def create_api(first: Sequence[APIRouter] = (), **options: Any) -> FastAPI:
    """Return an application with the core's routes, middleware and error handlers.

    Parameters
    ----------
    first
        Routers before the core's: a request is compared with the routes in their order.
    **options
        Arguments of FastAPI.
    """
    # a folder that cannot be made is the fault of what needs it
    with contextlib.suppress(OSError):
        keep_private(get_settings().var)
    # /docs brings its own script and style: it works without a network and asks no other server
    app = FastAPIOffline(
        redoc_url=None,
        title="recsys",
        version="1",
        description=_DESCRIPTION,
        generate_unique_id_function=operation_id,
        dependencies=REQUEST_CHECKS,
        # they name addresses, which may hold a person's id; `recsys.observation` has spans and metrics
        telemetry={"tracing": False, "metrics": False, "logs": False},
        **options,
    )
    install_error_handlers(app)
    # a guest's history becomes the user's at log-in, not only when a consumer has the event
    at_login(views.adopt)
    at_login(guest_identity.adopt)
    at_login(consent.adopt)
    # a request meets the middleware that was added last first
    app.add_middleware(HeadRequests)
    app.add_middleware(CardCheck)
    app.add_middleware(PlainBody, max_bytes=MAX_BODY_BYTES)
    ring = KeyRing()
    app.add_middleware(Gate, ring=ring)
    app.add_middleware(RequestContextMiddleware)
    origins = get_settings().api.cors_origins
    _let_pages_of_others_in(app, origins)
    app.add_middleware(PageOrigins, ring=ring, origins=origins)
    if get_settings().tracing.endpoint is not None:
        # outside of everything, so that the log of a request knows its trace
        app.add_middleware(RequestSpans)
    for router in (*first, *ROUTERS):
        app.router.routes.extend(_routes_of(router))

    state = ShopState()

    @app.get(
        "/metrics",
        tags=["operations"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    def metrics() -> Response:
        """Counts and durations of all workers, and the state of the shop, in Prometheus' text format."""
        return Response(render(state), media_type=CONTENT_TYPE)

    complete_document(app)
    return app


def _routes_of(router: APIRouter) -> Sequence[BaseRoute]:
    """Return the routes of a router with the checks of every request, made once for all applications.

    FastAPI analyses the parameters of included routes at the first request, which takes a third of a second
    for all; here it is done before the application starts, and before workers are forked.
    """
    routes = _routes.get(id(router))
    if routes is None:
        parent = APIRouter(dependencies=REQUEST_CHECKS, generate_unique_id_function=operation_id)
        parent.include_router(router)
        for _ in iter_route_contexts(parent.routes):
            pass
        routes = _routes[id(router)] = parent.routes
    return routes


def _let_pages_of_others_in(app: FastAPI, origins: Sequence[str]) -> None:
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
            expose_headers=EXPOSED_HEADERS,
            max_age=600,
        )
