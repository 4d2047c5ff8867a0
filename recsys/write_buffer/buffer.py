"""The write buffer: posts that were accepted while PostgreSQL takes no writes.

They wait in a Redis stream; while Redis does not take them either, in a file. Each has an event id, from
its sender or assigned when it was accepted: a post that is sent again, or stored again after a crash, is a
duplicate. A post that turns out invalid when it is stored goes to the dead letters of the stream, with the
reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import orjson
from prometheus_client import Counter
from redis.exceptions import RedisError
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings import Settings, get_settings
from recsys.web.metrics import REGISTRY
from recsys.write_buffer import spool
from recsys.write_buffer.batches import PostVerdict
from recsys.write_buffer.deadlines import Deadline
from recsys.write_buffer.group_commit import GroupCommit

__all__ = [
    "Post",
    "QueuedPost",
    "RecentOutage",
    "Sender",
    "StorePosts",
    "enqueue",
    "pack",
    "postgresql_outage",
    "store",
    "store_or_queue",
    "to_redis",
    "unpack",
]

DEAD_LETTERS = 100_000
"""The newest dead letters that are kept."""
_log = get_logger(__name__)
_QUEUED = Counter(
    "recsys_posts_queued",
    "Posts that were queued because PostgreSQL did not take them in time.",
    ["kind"],
    registry=REGISTRY,
)
# a session that was ended meanwhile has no row; a session that has expired was open when the post was sent
_LOGINS = text(
    """
    SELECT s.session_id, s.user_id FROM users_db.user_sessions s JOIN users_db.users u ON u.id = s.user_id
    WHERE s.session_id = ANY(:logins) AND u.is_active IS NOT FALSE
    """
).bindparams(bindparam("logins", type_=ARRAY(VARCHAR)))
R = TypeVar("R")
T = TypeVar("T")


class Post(NamedTuple):
    """One queued post, with an event id and a time of its own.

    Attributes
    ----------
    kind
        A key of `recsys.subscriptions.POSTS`.
    piece
        What is stored, as JSON.
    accepted
        Seconds since 1970.
    login
        `user_sessions.session_id` of a sender whom neither store could identify; else the piece itself names
        its user.
    """

    kind: str
    piece: dict[str, Any]
    accepted: float
    login: str | None = None


class QueuedPost(NamedTuple):
    """A piece from the queue, and the user of its log-in where the piece could not name it."""

    piece: dict[str, Any]
    user_id: int | None = None


StorePosts = Callable[[Session, Sequence[QueuedPost]], list[PostVerdict]]
"""Stores queued posts of one kind in the caller's transaction, each once; a verdict for each, in order."""


@dataclass(frozen=True)
class Sender:
    """Who posts: a user, who posts for nobody else, or a caller that may post for anybody.

    Attributes
    ----------
    user_id
        The user; None where the caller may post for anybody, or the user is not known (`login`).
    login
        The stored id of a log-in whose user neither store could tell, both being away.
    deadline
        Until when the request waits for PostgreSQL; None: as long as for a request that arrives now.
    token_id
        The stored id of the sender's log-in, whether its user is known or not.
    of_page
        A web page posts, for its visitor and nobody else: the user, else the guest.
    with_key
        An API key with the scope of events posts, which may name guests by the ids that are stored.
    """

    user_id: int | None = None
    login: str | None = None
    deadline: Deadline | None = None
    token_id: str | None = None
    of_page: bool = False
    with_key: bool = False

    @property
    def anybody(self) -> bool:
        """Whether the sender may post for anybody."""
        return self.user_id is None and self.login is None


@dataclass
class RecentOutage:
    """Whether a server did not answer a moment ago: then nobody waits until another connection fails."""

    seconds: float = 1.0
    _until: float = 0.0
    _settings: Settings | None = None

    def begin(self) -> None:
        """The server did not answer just now."""
        self._until, self._settings = time.monotonic() + self.seconds, get_settings()

    def is_on(self) -> bool:
        """Whether the server did not answer less than `seconds` ago."""
        # settings that were read again may name another server
        return time.monotonic() < self._until and get_settings() is self._settings


postgresql_outage = RecentOutage()
_redis_outage = RecentOutage()


def store_or_queue(
    kind: str,
    sender: Sender,
    group: GroupCommit[R, T],
    request: R,
    pieces: Callable[[], Sequence[dict[str, Any]]],
) -> T | None:
    """Store a request's posts now, or queue them when PostgreSQL does not take them before the deadline.

    Parameters
    ----------
    group
        Stores the request. It may still do so after the deadline: the event ids make the queued posts repeats
        then.
    pieces
        The same posts as JSON, for the queue.

    Returns
    -------
    T or None
        What `group` returns; None when the posts were queued.

    Raises
    ------
    Unavailable
        Neither PostgreSQL, nor Redis, nor the disk takes them.
    """
    if sender.login is None and not postgresql_outage.is_on():
        try:
            return group.store(request, sender.deadline or Deadline.of_post())
        except Unavailable as error:
            postgresql_outage.begin()
            _log.error("posts are queued", kind=kind, reason=error.message)
    now = clock.now().timestamp()
    posts = [Post(kind, piece, now, sender.login) for piece in pieces()]
    _QUEUED.labels(kind).inc(len(posts))
    enqueue(posts)
    return None


def pack(post: Post) -> bytes:
    """The post as JSON, in one line."""
    return orjson.dumps(tuple(post))


def unpack(packed: bytes) -> Post:
    """The post of its JSON. Raises ValueError for anything else."""
    try:
        kind, piece, accepted, login = orjson.loads(packed)
    except (ValueError, TypeError) as error:
        raise ValueError("not a post") from error
    if not isinstance(kind, str) or kind not in _kinds():
        raise ValueError(f"not a post: its kind is none of {', '.join(_kinds())}")
    if not isinstance(piece, dict) or isinstance(accepted, bool) or not isinstance(accepted, int | float):
        raise ValueError("not a post: its piece is no object, or its time no number")
    if not isinstance(login, str | None):
        raise ValueError("not a post: its log-in is no text")
    return Post(kind, piece, accepted, login)


def enqueue(posts: Sequence[Post]) -> None:
    """Keep posts in Redis, or on disk. Raises Unavailable when neither takes them: none is accepted."""
    records = [pack(post) for post in posts]
    if not records:
        return
    if not _redis_outage.is_on():
        try:
            to_redis(records)
            return
        except (RedisError, OSError, Unavailable) as error:
            _redis_outage.begin()
            _log.error("Redis takes no posts; they are queued on disk", error=str(error))
    try:
        spool.of_process("posts").append(records)
    except OSError as error:
        message = (
            "Neither PostgreSQL, nor Redis, nor the disk takes this now; nothing was stored, send it again."
        )
        raise Unavailable(message, public=message) from error


def to_redis(records: Sequence[bytes]) -> None:
    """Append packed posts to their stream. Raises RedisError, OSError, Unavailable."""
    pipeline = get_redis().pipeline(transaction=True)
    for record in records:
        pipeline.xadd(keys.posts_waiting(), {"data": record})
    pipeline.execute()


def store(session: Session, posts: Sequence[Post]) -> list[PostVerdict]:
    """Store queued posts, a few statements for each kind; a verdict each, `queued` for those that wait."""
    users = _users_of_logins(session, posts)
    verdicts: dict[int, PostVerdict] = {}
    by_kind: dict[str, dict[int, QueuedPost]] = {}
    for place, post in enumerate(posts):
        user = None if post.login is None else users.get(post.login)
        reason = None
        if post.login is not None and user is None:
            reason = "user_id: the sender's log-in has ended"
        elif post.login is not None and post.piece.get("user_id") not in (None, user):
            reason = "user_id: not the user who is logged in"
        if reason is not None:
            verdicts[place] = PostVerdict(index=place, status="refused", reason=reason)
        else:
            by_kind.setdefault(post.kind, {})[place] = QueuedPost(post.piece, user)
    for kind, queued in by_kind.items():
        results = _kinds()[kind](session, list(queued.values()))
        for place, verdict in zip(queued, results, strict=True):
            verdicts[place] = verdict.model_copy(update={"index": place})
    return [verdicts[place] for place in range(len(posts))]


def _users_of_logins(session: Session, posts: Sequence[Post]) -> dict[str, int]:
    wanted = sorted({post.login for post in posts if post.login is not None})
    rows = session.execute(_LOGINS, {"logins": wanted}).all() if wanted else []
    return {row.session_id: row.user_id for row in rows}


def _kinds() -> Mapping[str, StorePosts]:
    # imported here and by name: the domains that store posts import this package
    kinds: Mapping[str, StorePosts] = import_module("recsys.subscriptions").POSTS
    return kinds
