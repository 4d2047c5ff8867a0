"""Writes that are kept or undone by the same statements, so that no answer's time tells which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

__all__ = ["kept_if"]


class _NotKept(Exception):
    """What was written is not meant to stay."""


@contextmanager
def kept_if(session: Session, keep: bool) -> Iterator[None]:
    """Keep what the block writes in a savepoint, or give the savepoint up at its end."""
    try:
        with session.begin_nested():
            yield
            if not keep:
                raise _NotKept
    except _NotKept:
        return
