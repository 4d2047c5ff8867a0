"""The route of a user's list: the most requested one, with a fast path for plain requests."""

from __future__ import annotations

import re

from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from recsys.own_ids.requests import cached_user
from recsys.settings import get_settings
from recsys.web.access.authorization import plainly_allowed
from serving.ranking.eligibility import Novelty
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import impression_of, render

__all__ = ["PATH", "UserListRoute"]

PATH = "/api/v1/users/{user_id}/recommendations"
_PLAIN_USER = re.compile(r"[1-9][0-9]{0,8}")
_PLAIN_QUERY = re.compile(rb"(?:limit=([1-9][0-9]?|100))?(?:(?:^|&)novelty=(any|new))?")
_JSON = (b"content-type", b"application/json")


class UserListRoute(APIRoute):
    """FastAPI's route, which sends a plain request's bytes without solving its parameters.

    A plain request is a GET with `limit` and `novelty` only that a key or the environment allows, of a user
    by number or by a cached username. Solving
    parameters takes longer than a stored list. FastAPI handles all others, invalid input included.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request that matches the path."""
        query = _PLAIN_QUERY.fullmatch(scope["query_string"])
        text = scope["path_params"]["user_id"]
        user = int(text) if _PLAIN_USER.fullmatch(text) is not None else cached_user(text)
        if (
            query is None
            or scope["method"] != "GET"
            or user is None
            # FastAPI's dependencies handle logged-in users and refusals
            or not plainly_allowed(scope, "recommend")
        ):
            await super().handle(scope, receive, send)
            return
        state = scope["app"].state
        limit = get_settings().serving.default_limit if query[1] is None else int(query[1])
        novelty = Novelty.NEW if query[2] == b"new" else Novelty.ANY
        request = RecommendationRequest(user=user, limit=limit, novelty=novelty)
        response = await state.recommender.recommend(request)
        request_id = scope["state"]["request_id"]
        state.impressions.note(impression_of(response, request_id))
        body = render(state.recommender.data.catalogue, response, request_id)
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
