"""The members of the segments that rules name, in memory: a request asks here whom a rule is for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from recsys.domains.recommendations.rules.types import GUESTS, KNOWN_USERS, Rule
from recsys.domains.recommendations.segments import service as segments

__all__ = ["SegmentMembers", "refreshed_members", "segments_of", "stored_names"]


@dataclass(frozen=True, eq=False)
class SegmentMembers:
    """One stored segment.

    Attributes
    ----------
    version
        Changes with the members.
    users : int32, shape (members,)
        Increasing.
    """

    version: int
    refreshed_at: datetime | None
    users: npt.NDArray[np.int32]

    def has(self, user: int) -> bool:
        """Whether the user is a member."""
        # a number of another type would have the whole array converted
        place = int(np.searchsorted(self.users, np.int32(user)))
        return place < self.users.size and int(self.users[place]) == user


def stored_names(rules: Iterable[Rule]) -> set[str]:
    """The stored segments that rules name."""
    return {rule.segment for rule in rules if rule.segment is not None} - {GUESTS, KNOWN_USERS}


def refreshed_members(
    session: Session, names: Collection[str], known: Mapping[str, SegmentMembers]
) -> Mapping[str, SegmentMembers]:
    """Return the members of these segments; `known` itself where none of them changed."""
    versions = segments.versions(session, names) if names else {}
    if {name: each.version for name, each in known.items()} == {
        name: version for name, (version, _) in versions.items()
    }:
        return known
    return {
        name: known[name]
        if name in known and known[name].version == version
        else SegmentMembers(version, refreshed_at, segments.members(session, name))
        for name, (version, refreshed_at) in versions.items()
    }


def segments_of(user: int | None, members: Mapping[str, SegmentMembers]) -> frozenset[str]:
    """The segments of a user, or of a guest."""
    if user is None:
        return frozenset((GUESTS,))
    return frozenset((KNOWN_USERS, *(name for name, each in members.items() if each.has(user))))
