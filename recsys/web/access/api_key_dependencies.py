"""What routes ask for that programs call: a key with a scope, or the log-in of whom the request is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, NoReturn

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from redis.exceptions import RedisError

from recsys.domains.users import sessions
from recsys.domains.users.api_keys.service import Scope
from recsys.errors import Forbidden, Unauthorized, Unavailable
from recsys.own_ids.requests import user_named
from recsys.web.access.authorization import AccessDecision, decide, key_of, key_opens, keys_are_optional
from recsys.web.dependencies import brief_user, token_of

__all__ = ["Reporter", "Speaker", "allow", "reporter", "require"]


@dataclass(frozen=True)
class Speaker:
    """The user whose interactions a request may report; None for those of any user."""

    user_id: int | None


def require(scope: Scope, *, about: str | None = None) -> Callable[[Request], Awaitable[None]]:
    """A dependency that admits a key with the scope, and a user.

    Where keys are optional it admits everybody.

    Parameters
    ----------
    scope
        What the key needs.
    about
        The path parameter that names the user to admit.

    Raises
    ------
    Unauthorized
        By the dependency, without a key or user.
    Forbidden
        By the dependency, for a wrong one.

    Examples
    --------
    `dependencies=[Depends(require("recommend", about="user_id"))]`
    """

    async def allowed(request: Request) -> None:
        # what is no number is nobody's: the route itself says that it is wrong, to those who may know
        asked = None if about is None else user_named(request.path_params.get(about))
        await allow(request, scope, about=asked, personal=about is not None)

    return allowed


async def allow(request: Request, scope: Scope, *, about: int | None = None, personal: bool = True) -> None:
    """The same for routes that learn from the body whom they are about.

    Without a key it looks up who is logged in, which takes PostgreSQL.

    Parameters
    ----------
    scope
        What the key needs.
    about
        The user whom the request is about.
    personal
        Whether a log-in could help, which a refusal then says.

    Raises
    ------
    Unauthorized
        There is neither a key nor a log-in.
    Forbidden
        The key or the user is a wrong one.
    Unavailable
        The log-in can't be looked up.
    """
    key, optional = key_of(request.scope), keys_are_optional(request.scope)
    verdict = decide(scope, key=key, optional=optional)
    if verdict is not AccessDecision.ALLOWED:
        caller = await run_in_threadpool(_reader, request)
        verdict = decide(scope, key=key, caller=caller, about=about, optional=optional)
    if verdict is not AccessDecision.ALLOWED:
        _refuse(verdict, scope, personal=personal)


def reporter(request: Request) -> Speaker:
    """Who tells what happened; raises Unauthorized, Forbidden, Unavailable."""
    if key_opens(request.scope, "events"):
        return Speaker(None)
    caller = brief_user(request)
    if caller is not None:
        return Speaker(caller.user_id)
    verdict = decide("events", key=key_of(request.scope), optional=keys_are_optional(request.scope))
    if verdict is not AccessDecision.ALLOWED:
        _refuse(verdict, "events", personal=True)
    return Speaker(None)


def _reader(request: Request) -> int | None:
    """Who is logged in. PostgreSQL decides; while it is away its mirror in Redis does, for reading alone."""
    try:
        caller = brief_user(request)
    except Unavailable:
        token = token_of(request)
        if token is None:
            return None
        try:
            mirrored = sessions.mirrored(token)
        except (RedisError, OSError):
            mirrored = None
        if mirrored is None:
            # not a 401: it would tell somebody who is logged in that they are not
            raise
        return mirrored
    return None if caller is None else caller.user_id


def _refuse(verdict: AccessDecision, scope: Scope, *, personal: bool) -> NoReturn:
    key = f"an API key with the scope `{scope}` as `X-Api-Key`"
    if verdict is AccessDecision.FORBIDDEN:
        raise Forbidden(
            f"This needs {key}." if not personal else f"This needs {key}, or a log-in as that user."
        )
    raise Unauthorized(
        f"Send {key}." if not personal else f"Send {key}, or log in: `Authorization: Bearer TOKEN`."
    )


Reporter = Annotated[Speaker, Depends(reporter)]
"""Who tells what happened: a key with `events` for anybody, who is logged in for themselves; 401, 403."""
