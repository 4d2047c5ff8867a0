"""Around every request: an id, a limited body, safe headers, a log without personal data, a last catch."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.stdlib import ProcessorFormatter

from recsys import clock
from recsys.log import get_logger, write_json
from recsys.observation.spans import current_trace_id
from recsys.own_ids.requests import keep_encoded_slashes
from recsys.web.errors import problem
from recsys.web.headers import secure
from recsys.web.metrics import observe_request
from recsys.web.pagination import remember_question
from recsys.web.pan_filter import is_typed_card_number
from recsys.web.request_body import BodyFault
from recsys.web.route_names import name_of

__all__ = ["MAX_BODY_BYTES", "RequestContextMiddleware"]

MAX_BODY_BYTES = 4 * 2**20
_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{8,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_access = logging.getLogger("recsys.access")
_log = get_logger(__name__)


def _too_large(limit: int) -> BodyFault:
    return BodyFault(
        413, f"The body is larger than {limit} bytes; send it in smaller parts.", {"Connection": "close"}
    )


class RequestContextMiddleware:
    """Plain ASGI, since it runs on the hot path.

    A sane `X-Request-ID` is kept, otherwise one is made; the answer, the log and every problem carry it.
    The log names the route's template, never the address, which may hold a person's id.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an HTTP request; pass everything else on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        remember_question(scope)
        keep_encoded_slashes(scope)
        request_id, declared = _read_headers(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                secure(scope, message, (b"x-request-id", request_id.encode("ascii")))
            await send(message)

        read = 0

        async def receive_limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.max_body_bytes:
                raise _too_large(self.max_body_bytes)
            return message

        try:
            if declared > self.max_body_bytes:
                raise _too_large(self.max_body_bytes)
            await self.app(scope, receive_limited, send_with_id)
        except BodyFault as error:
            refusal = problem(error.status_code, error.detail, request_id=request_id, headers=error.headers)
            await refusal(scope, receive, send_with_id)
        except Exception as error:
            _log.error("unexpected error", request_id=request_id, route=name_of(scope), exc_info=error)
            if status:
                raise  # the answer has begun: only the server can break it off
            answer = problem(500, "Something went wrong on our side; the log has it under this request id.",
                             title="Internal error", request_id=request_id)  # fmt: skip
            await answer(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            route = name_of(scope)
            observe_request(method, route, status, seconds)
            _log_access(request_id, method, route, status, seconds)


def _log_access(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
    # the line that structlog's own logger would write, without its proxies: they cost as much as an answer
    if not _access.isEnabledFor(logging.INFO):
        return
    milliseconds, moment = round(seconds * 1000, 2), clock.now().isoformat()
    trace_id = current_trace_id()
    traced = "" if trace_id is None else f', "trace_id": "{trace_id}"'
    # nothing here needs escaping but the route, and ids are plain
    written = (
        f'{{"event": "request", "request_id": "{request_id}", "method": "{method}", "route": {_quoted(route)}'
        f', "status": {status}, "milliseconds": {milliseconds}{traced}, "level": "info"'
        f', "timestamp": "{moment}"}}'
    )
    if write_json(_access, written):
        return
    line: dict[str, object] = json.loads(written)
    (message,), extra = ProcessorFormatter.wrap_for_formatter(_access, "info", line)
    # handed over as a record: `info()` would first walk the stack for a place that no line shows
    _access.handle(
        _access.makeRecord(_access.name, logging.INFO, __file__, 0, message, (), None, extra=extra["extra"])
    )


@lru_cache(maxsize=1000)
def _quoted(route: str) -> str:
    return json.dumps(route)


def _read_headers(scope: Scope) -> tuple[str, int]:
    request_id, declared = None, 0
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_REQUEST_ID.fullmatch(value):
            # it is logged: what can be a card's number is none of ours
            request_id = None if is_typed_card_number(value.decode("ascii")) else value.decode("ascii")
        elif name == b"content-length" and value.isdigit():
            declared = int(value[:20])
    return request_id or _new_id(), declared


def _new_id() -> str:
    """A random UUID (RFC 9562, version 4) in hexadecimal, in a third of the time that `uuid` takes."""
    drawn = os.urandom(16).hex()
    return f"{drawn[:12]}4{drawn[13:16]}{_VARIANTS[drawn[16]]}{drawn[17:]}"
