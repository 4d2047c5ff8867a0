"""Work that many callers of one transaction have in common, done once for all of them before its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.orm import Session

__all__ = ["collect"]

_COLLECTED = "recsys.collected"
T = TypeVar("T")


def collect(session: Session, work: Callable[[Session, list[T]], None], item: T) -> None:
    """Call `work` with this and all other items that were collected for it, right before the commit.

    What `work` raises is raised by the commit, which is rolled back then. Works are called in the order of
    their first items.
    """
    collected: dict[Callable[[Session, list[Any]], None], list[Any]] | None = session.info.get(_COLLECTED)
    if collected is None:
        collected = session.info[_COLLECTED] = {}
        event.listen(session, "before_commit", _work)
    collected.setdefault(work, []).append(item)


def _work(session: Session) -> None:
    # SQLAlchemy tells of a savepoint's release too
    if session.in_nested_transaction():
        return
    collected: dict[Callable[[Session, list[Any]], None], list[Any]] = session.info[_COLLECTED]
    while collected:
        work = next(iter(collected))
        work(session, collected.pop(work))
