"""What waits in the write buffer of people who were erased, or refuse analytics: dropped, or without them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from recsys.domains.recommendations.impressions.store import Answered
from recsys.privacy.consent import without_analytics
from recsys.privacy.tombstones import ErasedPeople, identifiers_of, session_name, user_name
from recsys.write_buffer.buffer import Post

__all__ = ["ErasedPosts", "storable"]


class ErasedPosts:
    """Which of some posts are of erased people."""

    def __init__(self, session: Session, posts: Sequence[Post]) -> None:
        self._identifiers = {id(post): _named_by(post) for post in posts}
        self._erased = ErasedPeople.among(session, set().union(*self._identifiers.values()))

    def includes(self, post: Post, *, is_refused: bool = False) -> bool:
        """Whether the post is to be dropped.

        Parameters
        ----------
        is_refused
            The post names a user who does not exist.
        """
        accepted = datetime.fromtimestamp(post.accepted, UTC)
        return self._erased.includes(self._identifiers[id(post)], accepted, is_refused=is_refused)


def storable(session: Session, lists: Sequence[Answered]) -> list[Answered]:
    """The answered lists that are not of erased people; without the visitor who refuses analytics."""
    named = [(each, _visitor_of(each)) for each in lists]
    everybody = set().union(*(names for _, names in named))
    erased, refusing = ErasedPeople.among(session, everybody), without_analytics(session, everybody)
    return [
        each if refusing.isdisjoint(names) else each._replace(user_id=None, session_id=None)
        for each, names in named
        if not erased.includes(names, each.shown_at)
    ]


def _named_by(post: Post) -> set[str]:
    login = set() if post.login is None else {session_name(post.login)}
    return login | identifiers_of(post.piece)


def _visitor_of(answered: Answered) -> set[str]:
    names = set() if answered.user_id is None else {user_name(answered.user_id)}
    return names if answered.session_id is None else names | {session_name(answered.session_id)}
