"""Interactions of users and guests who refuse personalisation, which no snapshot holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.build.column_reader import Snapshot

__all__ = ["ConsentFilter", "read_consents"]

_REFUSING = """
SELECT owner, CASE WHEN owner LIKE 'user:%' THEN 0 ELSE hashtextextended(substr(owner, 9), 0) END
FROM users_db.consents WHERE NOT personalisation ORDER BY owner
"""


@dataclass(frozen=True, eq=False)
class ConsentFilter:
    """Who refuses personalisation.

    Attributes
    ----------
    users : int32
        Ids.
    sessions : int64
        Hashes of the ids of guest sessions, as `Events.session` has them.
    digest
        Another one for other people.
    """

    users: npt.NDArray[np.int32]
    sessions: npt.NDArray[np.int64]
    digest: str

    def refused(self, user: npt.NDArray[np.int32], session: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which interactions are of people who refuse, bool (n,)."""
        if not self.users.size and not self.sessions.size:
            return np.zeros(user.size, dtype=bool)
        return np.isin(user, self.users) | np.isin(session, self.sessions)


def read_consents(snapshot: Snapshot) -> ConsentFilter:
    """Read who refuses personalisation, as the snapshot sees it."""
    rows = snapshot.connection.execute(_REFUSING).fetchall()
    users = [int(owner[5:]) for owner, _ in rows if owner.startswith("user:")]
    sessions = [hashed for owner, hashed in rows if owner.startswith("session:")]
    names = "\n".join(owner for owner, _ in rows)
    digest = hashlib.sha256(names.encode()).hexdigest() if rows else ""
    return ConsentFilter(np.array(users, dtype=np.int32), np.array(sessions, dtype=np.int64), digest)
