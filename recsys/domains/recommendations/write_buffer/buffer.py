"""Interactions and feedback that were accepted while PostgreSQL was away, on their way to it.

They wait in a Redis stream of their own; while Redis is away as well, in a file. Each carries its sender's
event id, or one that it was given when it was accepted: what is sent again, or stored twice after a crash, is
a repeat. What turns out wrong when it is stored goes to the stream's dead letters, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson
from redis.exceptions import RedisError
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR
from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.domains.recommendations.feedback import ingest as feedback
from recsys.domains.recommendations.interactions import ingest as interactions
from recsys.domains.recommendations.interactions.recent import remember_touched
from recsys.domains.recommendations.schemas import JUDGED, InteractionIn, Verdict
from recsys.domains.recommendations.write_buffer import spool
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings import Settings, get_settings

__all__ = ["Absence", "Post", "pack", "queue", "store", "to_redis", "unpack"]

Kind = Literal["interactions", "feedback"]
DEAD_LETTERS = 100_000
"""So many are kept, the newest."""
_log = get_logger(__name__)

# a session that ended meanwhile is gone; one that expired was open when it spoke
_LOGINS = text(
    """
    SELECT s.session_id, s.user_id FROM users_db.user_sessions s JOIN users_db.users u ON u.id = s.user_id
    WHERE s.session_id = ANY(:logins) AND u.is_active IS NOT FALSE
    """
).bindparams(bindparam("logins", type_=ARRAY(VARCHAR)))


class Post(NamedTuple):
    """One interaction or piece of feedback as it was posted, with an event id and its moment.

    accepted : seconds since 1970.
    login : `user_sessions.session_id` of a sender of whom neither store could tell who it is; else the piece
        itself says whose it is.
    """

    kind: Kind
    piece: dict[str, Any]
    accepted: float
    login: str | None = None


@dataclass
class Absence:
    """Whether a server was away a moment ago: who knows need not wait until a connection fails."""

    seconds: float = 1.0
    _until: float = 0.0
    _settings: Settings | None = None

    def noticed(self) -> None:
        """It was away just now."""
        self._until, self._settings = time.monotonic() + self.seconds, get_settings()

    def lasts(self) -> bool:
        """Whether it was away less than `seconds` ago."""
        # settings that were read anew may name another server
        return time.monotonic() < self._until and get_settings() is self._settings


_redis_away = Absence()


def pack(post: Post) -> bytes:
    """As JSON, in one line."""
    return orjson.dumps(tuple(post))


def unpack(packed: bytes) -> Post:
    """The post again. Raises ValueError for anything else."""
    try:
        kind, piece, accepted, login = orjson.loads(packed)
    except (ValueError, TypeError) as error:
        raise ValueError("not a post") from error
    if kind not in ("interactions", "feedback"):
        raise ValueError("neither interactions nor feedback")
    if not isinstance(piece, dict) or isinstance(accepted, bool) or not isinstance(accepted, int | float):
        raise ValueError("not a post: its piece is no object, or its moment no number")
    if not isinstance(login, str | None):
        raise ValueError("not a post: its log-in is no text")
    return Post(kind, piece, accepted, login)


def queue(posts: Sequence[Post]) -> None:
    """Let posts wait in Redis, or on disk. Raises Unavailable when neither takes them: none is accepted."""
    records = [pack(one) for one in posts]
    if not _redis_away.lasts():
        try:
            to_redis(records)
            return
        except (RedisError, OSError, Unavailable) as error:
            _redis_away.noticed()
            _log.error("Redis does not answer; what was posted waits on disk", error=str(error))
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


def store(session: Session, posts: Sequence[Post]) -> list[Verdict]:
    """Store posts, at most a few statements for any number; a verdict each, `queued` for what has to wait."""
    logins = _logins(session, posts)
    verdicts: list[Verdict | None] = [None] * len(posts)
    places: dict[Kind, list[int]] = {"interactions": [], "feedback": []}
    pieces: list[object] = []
    for place, post in enumerate(posts):
        piece: object = post.piece
        if post.login is not None:
            user = logins.get(post.login)
            if user is None:
                verdicts[place] = Verdict(
                    index=place, status="refused", reason="user_id: the sender's log-in has ended"
                )
            elif post.piece.get("user_id") not in (None, user):
                verdicts[place] = Verdict(
                    index=place, status="refused", reason="user_id: not the user who is logged in"
                )
            elif post.kind == "interactions":
                mine = InteractionIn.model_validate(interactions.named(post.piece, user), context=JUDGED)
                piece = interactions.of_caller(mine, user)
            else:
                piece = post.piece | {"user_id": user}
        pieces.append(piece)
        if verdicts[place] is None:
            places[post.kind].append(place)
    touched = []
    for kind, own in places.items():
        if own:
            given = [pieces[place] for place in own]
            if kind == "interactions":
                told, more = interactions.take(session, given, judged=True)
            else:
                told, more = feedback.take(session, given, None, judged=True)
            touched += more
            for place, verdict in zip(own, told, strict=True):
                verdicts[place] = verdict.model_copy(update={"index": place})
    if touched:
        after_commit(session, lambda: remember_touched(touched))
    return [verdict for verdict in verdicts if verdict is not None]


def _logins(session: Session, posts: Sequence[Post]) -> dict[str, int]:
    wanted = sorted({post.login for post in posts if post.login is not None})
    rows = session.execute(_LOGINS, {"logins": wanted}).all() if wanted else []
    return {row.session_id: row.user_id for row in rows}
