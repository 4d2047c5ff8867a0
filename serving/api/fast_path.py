"""A user's list, the question asked most, answered before FastAPI routes and solves parameters.

That takes it longer than the answer does. The documented route stays in `routes.py` and means the same; what
does not look plain here goes there, wrong input included, so that problems are told in one place.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.settings import get_settings
from recsys.web.access.authorization import plainly_allowed
from serving.ranking.eligibility import Novelty
from serving.recommender import recommender
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import answered, render
from serving.state.metrics import count_answer
from serving.state.serving_state import State

__all__ = ["PATH", "Shortcut"]

PATH = "/api/v1/users/{user_id}/recommendations"
_PLAIN_PATH = re.compile(re.escape(PATH).replace(r"\{user_id\}", "([1-9][0-9]{0,8})"))
_PLAIN_QUERY = re.compile(rb"(?:limit=([1-9][0-9]?|100))?(?:(?:^|&)novelty=(any|new))?")
_ROUTE = SimpleNamespace(path=PATH)
_JSON = (b"content-type", b"application/json")


class Shortcut:
    """Plain ASGI, inside of `recsys.web.middleware.RequestContext`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            path, query = _PLAIN_PATH.fullmatch(scope["path"]), _PLAIN_QUERY.fullmatch(scope["query_string"])
            # who is logged in, and who is refused, the documented route looks up
            if path is not None and query is not None and plainly_allowed(scope, "recommend"):
                scope["route"] = _ROUTE  # by which log and metrics call it
                body = await _answer(scope, int(path[1]), query)
                headers = [_JSON, (b"content-length", b"%d" % len(body))]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return
        await self.app(scope, receive, send)


async def _answer(scope: Scope, user: int, query: re.Match[bytes]) -> bytes:
    state: State = scope["app"].state.serving
    limit = get_settings().serving.default_limit if query[1] is None else int(query[1])
    novelty = Novelty.NEW if query[2] == b"new" else Novelty.ANY
    answer = await recommender.answer(state, RecommendationRequest(user=user, limit=limit, novelty=novelty))
    count_answer(answer.source)
    request_id = scope["state"]["request_id"]
    state.exposures.note(answered(answer, request_id))
    return render(state.catalogue.current, answer, request_id)
