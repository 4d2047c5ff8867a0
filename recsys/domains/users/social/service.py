"""Following and blocking: arrays of user ids, kept equal on both sides.

Both users are locked in the order of their ids for the rest of the transaction, so that nobody's change is
lost and two who follow each other at once don't wait for ever. The locks are advisory ones: rows of users are
locked for other reasons in other orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.users import activities
from recsys.domains.users.tables import User, UserSocial
from recsys.errors import Conflict, Invalid, NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import UserBlocked, UserFollowed, UserUnblocked, UserUnfollowed
from recsys.settings import get_settings

__all__ = ["Counts", "Side", "block", "connected", "counts", "follow", "unblock", "unfollow"]

Side = Literal["followers", "following", "blocked"]
# the first key of the advisory locks of this module: any number that no other module takes
_LOCKS = 5001


@dataclass(frozen=True)
class Counts:
    """How many follow a user, and how many the user follows."""

    followers: int
    following: int


def follow(session: Session, user_id: int, target_id: int) -> None:
    """Follow an open account; again is no error. Raises Invalid, NotFound, Conflict."""
    mine, theirs = _both(session, user_id, target_id)
    following = mine.following or []
    if target_id in following:
        return
    if target_id in (mine.blocked or []) or user_id in (theirs.blocked or []):
        raise Conflict(f"You can't follow user {target_id}: one of you has blocked the other.")
    limit = get_settings().users.max_following
    if len(following) >= limit:
        raise Conflict(f"You follow {limit} users, which is the limit; unfollow somebody first.")
    mine.following = [*following, target_id]
    theirs.followers = [*(theirs.followers or []), user_id]
    _changed(mine, theirs)
    activities.record(session, user_id, "follow", target_id=target_id)
    publish(session, UserFollowed(user_id=user_id, target_id=target_id))


def unfollow(session: Session, user_id: int, target_id: int) -> None:
    """Stop following; no error when the user didn't. Raises Invalid, NotFound."""
    mine, theirs = _both(session, user_id, target_id, closed=True)
    if _part(mine, theirs):
        activities.record(session, user_id, "unfollow", target_id=target_id)
        publish(session, UserUnfollowed(user_id=user_id, target_id=target_id))


def block(session: Session, user_id: int, target_id: int) -> None:
    """Block a user: neither follows the other any longer, nor can again. Raises Invalid, NotFound."""
    mine, theirs = _both(session, user_id, target_id, closed=True)
    blocked = mine.blocked or []
    if target_id in blocked:
        return
    limit = get_settings().users.max_following
    if len(blocked) >= limit:
        raise Conflict(f"You have blocked {limit} users, which is the limit.")
    if _part(mine, theirs):
        publish(session, UserUnfollowed(user_id=user_id, target_id=target_id))
    if _part(theirs, mine):
        publish(session, UserUnfollowed(user_id=target_id, target_id=user_id))
    mine.blocked = [*blocked, target_id]
    _changed(mine)
    activities.record(session, user_id, "block", target_id=target_id)
    publish(session, UserBlocked(user_id=user_id, target_id=target_id))


def unblock(session: Session, user_id: int, target_id: int) -> None:
    """Take a block back; no error when there was none. Raises Invalid, NotFound."""
    mine, _ = _both(session, user_id, target_id, closed=True)
    blocked = mine.blocked or []
    if target_id in blocked:
        mine.blocked = [one for one in blocked if one != target_id]
        _changed(mine)
        activities.record(session, user_id, "unblock", target_id=target_id)
        publish(session, UserUnblocked(user_id=user_id, target_id=target_id))


def counts(session: Session, user_id: int) -> Counts:
    """The lengths of a user's arrays."""
    found = session.execute(
        select(func.cardinality(UserSocial.followers), func.cardinality(UserSocial.following))
        .where(UserSocial.user_id == user_id)
        .order_by(UserSocial.id)
        .limit(1)
    ).one_or_none()
    return Counts(0, 0) if found is None else Counts(found[0] or 0, found[1] or 0)


def connected(session: Session, user_id: int, side: Side, *, after: int, limit: int) -> Sequence[User]:
    """Open accounts on one side of a user, by id, those after `after`."""
    ids = (
        select(func.unnest(getattr(UserSocial, side))).where(UserSocial.user_id == user_id).scalar_subquery()
    )
    return session.scalars(
        select(User)
        .where(User.id.in_(ids), User.id > after, User.is_active.is_not(False))
        .order_by(User.id)
        .limit(limit)
    ).all()


def _both(
    session: Session, user_id: int, target_id: int, *, closed: bool = False
) -> tuple[UserSocial, UserSocial]:
    if user_id == target_id:
        raise Invalid("This is your own account; expected another user.")
    open_account = session.scalars(select(User.is_active).where(User.id == target_id)).all()
    if not open_account or (open_account[0] is False and not closed):
        raise NotFound(f"There is no user {target_id}.")
    for one in sorted((user_id, target_id)):
        session.execute(select(func.pg_advisory_xact_lock(_LOCKS, one)))
    return _row(session, user_id), _row(session, target_id)


def _row(session: Session, user_id: int) -> UserSocial:
    # the user is locked: no second row can come into being, and what is read now stays true
    row = session.scalars(
        select(UserSocial)
        .where(UserSocial.user_id == user_id)
        .order_by(UserSocial.id)
        .limit(1)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        row = UserSocial(user_id=user_id, followers=[], following=[], blocked=[], created_at=clock.now())
        session.add(row)
        session.flush()
    return row


def _part(follower: UserSocial, followed: UserSocial) -> bool:
    following = follower.following or []
    if followed.user_id not in following:
        return False
    follower.following = [one for one in following if one != followed.user_id]
    followed.followers = [one for one in followed.followers or [] if one != follower.user_id]
    _changed(follower, followed)
    return True


def _changed(*rows: UserSocial) -> None:
    for row in rows:
        row.updated_at = clock.now()
