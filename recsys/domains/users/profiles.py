"""Profiles, settings and preferences: what users say about themselves and how they want the shop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.users import activities, cache, presence, service
from recsys.domains.users.schemas import MeOut, ProfileIn, PublicUser
from recsys.domains.users.sessions import lock_user
from recsys.domains.users.social import service as social
from recsys.domains.users.tables import User, UserProfile
from recsys.errors import NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import PreferencesChanged, ProfileUpdated
from recsys.own_ids.resolver import own_ids_changed

__all__ = ["change", "json_column", "me", "public", "public_by_username", "replace"]

_OF_USER = frozenset({"username", "full_name", "avatar_url"})


def me(session: Session, user_id: int) -> MeOut:
    """A user's own account."""
    user = service.get_user(session, user_id)
    profile = _profile(session, user_id)
    counts = social.counts(session, user_id)
    return MeOut(
        id=user.id,
        email=user.email,
        username=user.username,
        full_name=user.full_name,
        avatar_url=user.avatar_url,
        is_admin=bool(user.is_admin),
        bio=None if profile is None else profile.bio,
        phone=None if profile is None else profile.phone,
        address=None if profile is None else profile.address,
        date_of_birth=None if profile is None else profile.date_of_birth,
        gender=None if profile is None else profile.gender,
        last_seen=user.last_seen,
        created_at=user.created_at,
        followers=counts.followers,
        following=counts.following,
    )


def public(session: Session, user_id: int) -> PublicUser:
    """What everybody may see of a user. Raises NotFound, for closed accounts too."""
    shown = cache.profile(session, user_id)
    if shown is None:
        raise NotFound(f"There is no user {user_id}.")
    counts = social.counts(session, user_id)
    return PublicUser(
        **shown,
        is_online=user_id in presence.online([user_id]),
        followers=counts.followers,
        following=counts.following,
    )


def public_by_username(session: Session, username: str) -> PublicUser:
    """The same by name, in whatever case it is written. Raises NotFound."""
    user_id = cache.id_by_username(session, username)
    if user_id is None:
        raise NotFound("There is no user of this name.")
    return public(session, user_id)


def change(session: Session, user_id: int, given: ProfileIn) -> MeOut:
    """Change what was sent, and nothing else. Raises Conflict when the username is taken."""
    user = lock_user(session, user_id)
    wanted = given.model_dump(exclude_unset=True)
    if "username" in wanted:
        service.refuse_taken_username(session, wanted["username"], but=user_id)
    profile = _own_profile(session, user_id)
    changed = [name for name, value in wanted.items() if getattr(_holder(user, profile, name), name) != value]
    if changed:
        if "username" in changed:
            own_ids_changed(session)
        cache.forget(user)
        for name in changed:
            setattr(_holder(user, profile, name), name, wanted[name])
        user.updated_at = profile.updated_at = clock.now()
        service.flush_names(session)
        cache.forget(user)
        activities.record(session, user_id, "profile_updated", changed=changed)
        publish(session, ProfileUpdated(user_id=user_id, changed=tuple(changed)))
    return me(session, user_id)


def json_column(session: Session, user_id: int, column: str) -> dict[str, Any]:
    """A user's `settings` or `preferences`."""
    profile = _profile(session, user_id)
    return {} if profile is None else dict(getattr(profile, column) or {})


def replace(session: Session, user_id: int, column: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Put other `settings` or `preferences` in the place of those of now."""
    lock_user(session, user_id)
    profile = _own_profile(session, user_id)
    if (getattr(profile, column) or {}) != value:
        setattr(profile, column, dict(value))
        profile.updated_at = clock.now()
        activities.record(session, user_id, f"{column}_changed")
        if column == "preferences":
            publish(session, PreferencesChanged(user_id=user_id))
        else:
            publish(session, ProfileUpdated(user_id=user_id, changed=(column,)))
    return dict(value)


def _profile(session: Session, user_id: int) -> UserProfile | None:
    return session.scalars(
        select(UserProfile)
        .where(UserProfile.user_id == user_id)
        .order_by(UserProfile.id)
        .limit(1)
        .execution_options(populate_existing=True)
    ).one_or_none()


def _own_profile(session: Session, user_id: int) -> UserProfile:
    # the user's row is locked: no second profile can come into being
    profile = _profile(session, user_id)
    if profile is None:
        profile = UserProfile(user_id=user_id, preferences={}, settings={}, created_at=clock.now())
        session.add(profile)
        session.flush()
    return profile


def _holder(user: User, profile: UserProfile, name: str) -> User | UserProfile:
    return user if name in _OF_USER else profile
