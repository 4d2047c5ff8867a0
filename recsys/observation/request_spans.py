"""The span of each request, in the trace of its `traceparent`; added only while tracing is on."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.observation.spans import continued
from recsys.web.route_names import name_of

__all__ = ["RequestSpans"]


class RequestSpans:
    """Plain ASGI. The span has the template of the route, never the address, which may hold a person's id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an HTTP request in a span; pass everything else on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        parent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        with continued(scope["method"], parent.decode("latin-1")) as made:
            try:
                await self.app(scope, receive, send_and_note)
            finally:
                _describe(made, scope, status)


def _describe(made: object, scope: Scope, status: int) -> None:
    from opentelemetry.trace import Span, StatusCode

    if not isinstance(made, Span):
        return
    route = name_of(scope)
    made.update_name(f"{scope['method']} {route}")
    made.set_attributes(
        {"http.request.method": scope["method"], "http.route": route, "http.response.status_code": status}
    )
    request_id = scope.get("state", {}).get("request_id")
    if request_id is not None:
        made.set_attribute("recsys.request_id", request_id)
    if status == 0 or status >= 500:
        made.set_status(StatusCode.ERROR)
