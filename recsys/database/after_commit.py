"""What follows from stored facts once they are safe: caches, carts, counters in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError
from sqlalchemy import event
from sqlalchemy.orm import Session

from recsys.errors import Unavailable
from recsys.log import get_logger

__all__ = ["after_commit", "held"]

_WAITING, _HELD = "recsys.afterwards", "recsys.held"
_log = get_logger(__name__)


def after_commit(session: Session, work: Callable[[], object]) -> None:
    """Do `work` once what `session` wrote is committed; not at all when it is rolled back.

    The data is committed by then, so an unreachable Redis is logged and is no error of the caller. The caller
    makes sure that Redis is corrected later (by an event's handler, an expiry, or a check).
    """
    waiting: list[Callable[[], object]] | None = session.info.get(_WAITING)
    if waiting is None:
        waiting = session.info[_WAITING] = []
        event.listen(session, "after_commit", _follow)
    waiting.append(work)


@contextmanager
def held(session: Session) -> Iterator[None]:
    """Leave the work until the block has ended without an error: the commits in it are one commit."""
    session.info[_HELD] = True
    try:
        yield
    finally:
        del session.info[_HELD]
    _follow(session)


def _follow(session: Session) -> None:
    # SQLAlchemy tells of a savepoint's release too, which makes nothing safe
    if _HELD in session.info or session.in_nested_transaction():
        return
    waiting: list[Callable[[], object]] = session.info.get(_WAITING, [])
    todo, waiting[:] = list(waiting), []
    for work in todo:
        try:
            work()
        except (RedisError, OSError, Unavailable) as error:
            _log.error("stored, but Redis did not follow", work=work.__qualname__, error=str(error))
