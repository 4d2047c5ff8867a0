"""The routes of pages: forms are checked before they reach a function, errors are pages."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from redis.exceptions import RedisError
from starlette.responses import RedirectResponse

from recsys.cache.absence import is_absence
from recsys.errors import Invalid, RecsysError, Unauthorized, Unavailable
from recsys.log import get_logger
from recsys.web.errors import field_problems, request_id_of
from serving.pages.forms import local_path, read_form
from serving.pages.templating import PageTemplates, wants_json

__all__ = ["PageRoute"]

_log = get_logger(__name__)
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose errors are pages; a package of pages derives one with its templates.

    Every request that may change something brings a form, whose token is checked here: no function of a page
    can leave it out.
    """

    templates: ClassVar[PageTemplates]
    log_in_path: ClassVar[str | None] = None
    """Where a request without a session is led to; None: to an error page."""

    def get_route_handler(self) -> Handler:
        """The handler of FastAPI, inside of the checks and the error pages."""
        handle = super().get_route_handler()

        async def handle_page(request: Request) -> Response:
            try:
                values = (request.url.path, *(value for _, value in request.query_params.multi_items()))
                if any("\x00" in value for value in values):
                    raise Invalid("The address has a NUL character, which no name or id has.")
                if request.method not in _READING:
                    request.state.form = await read_form(request)
                return await handle(request)
            except RequestValidationError as error:
                if wants_json(request):
                    raise
                return self._failure(request, Invalid(_in_words(error)))
            except RedisError as error:
                if wants_json(request) or not is_absence(error):
                    raise
                return self._failure(request, Unavailable(str(error)))
            except RecsysError as error:
                if wants_json(request):
                    raise
                return self._failure(request, error)

        return handle_page

    def _failure(self, request: Request, error: RecsysError) -> Response:
        if isinstance(error, Unauthorized) and self.log_in_path is not None and request.method == "GET":
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(
                f"{self.log_in_path}?next={quote(path, safe='/')}", 303, headers={"Cache-Control": "no-store"}
            )
        if error.status >= 500:
            _log.error("a page failed", request_id=request_id_of(request), reason=error.message)
        return self.templates.render(
            request,
            "error.html.j2",
            status=error.status,
            title=error.title,
            message=error.public if isinstance(error, Unavailable) else error.message,
            back=_page_before(request),
            request_id=request_id_of(request),
        )


def _page_before(request: Request) -> str | None:
    """The page of this server on which a form was sent, None where the browser does not say."""
    before = urlsplit(request.headers.get("referer", ""))
    if request.method in _READING or before.netloc != request.url.netloc:
        return None
    try:
        return local_path(before.path + (f"?{before.query}" if before.query else ""))
    except Invalid:
        return None


def _in_words(error: RequestValidationError) -> str:
    faults = field_problems(error.errors(), skip=1)
    return "; ".join(f"{fault.field}: {fault.expected}" for fault in faults)
