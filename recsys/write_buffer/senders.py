"""Dependencies of routes that take posts: who sends them, found before a deadline or left for later.

PostgreSQL decides who is logged in. While it does not answer, its mirror in Redis does; while neither
answers, the post is queued with the id of its log-in and gets its user when it is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import Depends, Request
from redis.exceptions import RedisError

from recsys.domains.users import sessions
from recsys.errors import Unavailable
from recsys.security import token_id
from recsys.settings import get_settings
from recsys.web.access.api_key_dependencies import reporter
from recsys.web.access.authorization import key_opens
from recsys.web.access.pages import visitor_of
from recsys.web.dependencies import brief_user, token_of
from recsys.write_buffer.buffer import Sender, postgresql_outage
from recsys.write_buffer.deadlines import Deadline, within

__all__ = ["ReporterDep", "UserDep", "VisitorDep", "in_post_thread"]

Result = TypeVar("Result")
_THREADS = 40
_threads: RunVar[CapacityLimiter] = RunVar("posts")


async def in_post_thread(work: Callable[..., Result], *arguments: object) -> Result:
    """Run `work` in a thread that no other route can keep busy: posts are taken while all others wait."""
    try:
        threads = _threads.get()
    except LookupError:
        threads = CapacityLimiter(_THREADS)
        _threads.set(threads)
    return await to_thread.run_sync(work, *arguments, limiter=threads)


async def _reporter(request: Request) -> Sender:
    if (visitor := visitor_of(request.scope)) is not None:
        return Sender(visitor.user_id, deadline=Deadline.of_post(), of_page=True)
    if key_opens(request.scope, "events"):
        # nothing is looked up for these
        return Sender(deadline=Deadline.of_post(), with_key=True)
    return await in_post_thread(_sender, request, lambda: reporter(request).user_id)


async def _visitor(request: Request) -> Sender:
    if visitor_of(request.scope) is not None:
        return await _reporter(request)

    def user() -> int | None:
        caller = brief_user(request)
        if caller is None and not get_settings().api.guests_may_collect:
            reporter(request)
        return None if caller is None else caller.user_id

    return await in_post_thread(_sender, request, user)


async def _user(request: Request) -> Sender:
    def user() -> int | None:
        caller = brief_user(request)
        return None if caller is None else caller.user_id

    return await in_post_thread(_sender, request, user)


def _sender(request: Request, user_of: Callable[[], int | None]) -> Sender:
    """The sender; from here on the request has its deadline, and nothing waits longer for PostgreSQL."""
    deadline, token = Deadline.of_post(), token_of(request)
    if token is None:
        # decided without PostgreSQL
        return Sender(user_of(), deadline=deadline)
    login = token_id(token)
    if not postgresql_outage.is_on():
        try:
            return Sender(within(deadline, lambda seconds: user_of()), None, deadline, login)
        except Unavailable:
            postgresql_outage.begin()
    try:
        user = sessions.mirrored(token)
    except (RedisError, OSError, Unavailable):
        user = None
    return Sender(user, login if user is None else None, deadline, login)


ReporterDep = Annotated[Sender, Depends(_reporter)]
"""A key with the scope `events`, who posts for anybody; or a user, or a web page's visitor, who post for
nobody else; 401, 403."""
VisitorDep = Annotated[Sender, Depends(_visitor)]
"""The visitor of a page: a user, or a guest where `api.guests_may_collect` or a key allows it; 401, 403."""
UserDep = Annotated[Sender, Depends(_user)]
"""The user who is logged in, or nobody."""
