"""What routes ask for: a session whose work is committed before the answer leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work

__all__ = ["SessionDep"]


def _session() -> Iterator[Session]:
    with unit_of_work() as session:
        yield session


# scope="function": the commit happens before the answer is sent, so "stored" is never told too early
SessionDep = Annotated[Session, Depends(_session, scope="function")]
