"""The tables of users_db: who the shop's users are and what they do."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Integer, String, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import EMPTY, Base, DefaultNow, Id, InetAddress, JsonObject, LargeText, Off, On

__all__ = [
    "AccountToken",
    "ApiKey",
    "ApiKeyChange",
    "StaffRole",
    "User",
    "UserActivity",
    "UserProfile",
    "UserSession",
    "UserSocial",
]

SCHEMA = "users_db"


class User(Base):
    """One account of the shop; an imported user's own id is its `username`."""

    __tablename__ = "users"
    __table_args__ = (
        # log-ins may spell names in any case
        Index("users_lower_email_idx", text("lower(email)")),
        Index("users_lower_username_idx", text("lower(username)")),
        # users silent for long who are still shown as online
        Index("users_last_seen_idx", "last_seen", postgresql_where=text("is_online")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    email: Mapped[str] = mapped_column(String(255), unique=True)
    username: Mapped[str] = mapped_column(String(100), unique=True)
    full_name: Mapped[str] = mapped_column(String(255))
    password_hash: Mapped[str] = mapped_column(String(255))
    avatar_url: Mapped[str | None] = mapped_column(String(500))
    is_online: Mapped[Off | None]
    is_active: Mapped[On | None]
    is_admin: Mapped[Off | None]
    last_seen: Mapped[datetime | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class UserProfile(Base):
    """What a user says about themselves and how they want the shop to look."""

    __tablename__ = "user_profiles"
    __table_args__ = (
        # the profile of a user; deleting a user cascades here
        Index(None, "user_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    bio: Mapped[LargeText | None]
    preferences: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    settings: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    phone: Mapped[str | None] = mapped_column(String(20))
    address: Mapped[LargeText | None]
    date_of_birth: Mapped[date | None]
    gender: Mapped[str | None] = mapped_column(String(10))
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class UserSession(Base):
    """One signed-in device of a user, until it expires."""

    __tablename__ = "user_sessions"
    __table_args__ = (
        # the open sessions of a user; deleting a user cascades here
        Index(None, "user_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    session_id: Mapped[str] = mapped_column(String(255), unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    device_type: Mapped[str | None] = mapped_column(String(50))
    device_info: Mapped[JsonObject | None]
    ip_address: Mapped[InetAddress | None]
    last_activity: Mapped[DefaultNow | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[DefaultNow | None]


class UserActivity(Base):
    """One thing a user did with their account, such as signing in or changing the password."""

    __tablename__ = "user_activities"
    __table_args__ = (
        # a user's latest activities; deleting a user cascades here
        Index(None, "user_id", "timestamp"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    activity_type: Mapped[str] = mapped_column(String(50))
    details: Mapped[JsonObject | None] = mapped_column("metadata", server_default=EMPTY)
    timestamp: Mapped[DefaultNow | None]


class UserSocial(Base):
    """Whom a user follows, is followed by and has blocked, as arrays of user ids."""

    __tablename__ = "user_social"
    __table_args__ = (
        # the connections of a user; deleting a user cascades here
        Index(None, "user_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    followers: Mapped[list[int] | None] = mapped_column(ARRAY(Integer), server_default=EMPTY)
    following: Mapped[list[int] | None] = mapped_column(ARRAY(Integer), server_default=EMPTY)
    blocked: Mapped[list[int] | None] = mapped_column(ARRAY(Integer), server_default=EMPTY)
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class ApiKey(Base):
    """A key with which a program or a web page calls the API; only its hash is stored.

    Attributes
    ----------
    origins
        The web pages of a publishable key; empty for a secret one.
    signing_epoch
        Counts the signing secrets of a publishable key.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(
            "cardinality(scopes) > 0 AND (scopes <@ ARRAY['recommend', 'events', 'admin'] "
            "OR scopes = ARRAY['page'])",
            name="scopes",
        ),
        CheckConstraint("(scopes = ARRAY['page']) = (cardinality(origins) > 0)", name="origins"),
        CheckConstraint("rate_per_second >= 0", name="rate_per_second"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    origins: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"), default=list)
    signing_epoch: Mapped[int] = mapped_column(server_default=text("1"), default=1)
    rate_per_second: Mapped[float | None]
    created_at: Mapped[DefaultNow]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class ApiKeyChange(Base):
    """Who created, revoked or rotated a key, and when. `action` is that word."""

    __tablename__ = "api_key_changes"
    __table_args__ = (
        # the changes of a key; deleting a key cascades here
        Index(None, "key_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    key_id: Mapped[int] = mapped_column(ForeignKey(ApiKey.id, ondelete="CASCADE"))
    action: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(100))
    changed_at: Mapped[DefaultNow]


class AccountToken(Base):
    """A one-time token that was sent by e-mail, as a hash (our own table)."""

    __tablename__ = "account_tokens"
    __table_args__ = (
        CheckConstraint("purpose IN ('reset_password', 'confirm_email', 'change_email')", name="purpose"),
        # a user has one pending token of each purpose; deleting a user cascades here
        Index(None, "user_id", "purpose"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    purpose: Mapped[str] = mapped_column(String(20))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    email: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class StaffRole(Base):
    """The role of an account that runs the shop without being an administrator (our own table)."""

    __tablename__ = "staff_roles"
    __table_args__ = (
        CheckConstraint("role IN ('viewer', 'merchandiser', 'operator')", name="role"),
        {"schema": SCHEMA},
    )

    user_id: Mapped[int] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    granted_by: Mapped[str] = mapped_column(String(100))
    granted_at: Mapped[datetime]
