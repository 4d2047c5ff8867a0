"""Users whom rows of other servers refer to: who exists, and stays until the transaction ends."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.orm import Session

from recsys.database.servers.joint_commit import JointSession

__all__ = ["lock_users"]

_IDS = bindparam("ids", type_=ARRAY(INTEGER))
_KEEP = text("SELECT id FROM users_db.users WHERE id = ANY(:ids) ORDER BY id FOR KEY SHARE").bindparams(_IDS)
_KEEP_ACTIVE = text(
    "SELECT id FROM users_db.users WHERE id = ANY(:ids) AND is_active ORDER BY id FOR KEY SHARE"
).bindparams(_IDS)


def lock_users(session: Session, users: Iterable[int], *, active: bool = False) -> set[int]:
    """Those of the users who exist; nobody deletes them before the session's transactions end.

    Users whom the session itself has written are not seen where other servers take part in it.

    Parameters
    ----------
    active
        Leave out closed accounts.
    """
    given = list(users)
    if not given:
        return set()
    locking = session.connection_of_references() if isinstance(session, JointSession) else session
    return set(locking.scalars(_KEEP_ACTIVE if active else _KEEP, {"ids": given}))
