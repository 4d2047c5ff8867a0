"""What users do with their accounts and with each other (stream `user_events`)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from recsys.events.vocabulary.base import Event, MaybeSessionId, SessionId, UserId

__all__ = [
    "AccountTokenRequested",
    "EmailChanged",
    "InteractionsRecorded",
    "PasswordChanged",
    "PreferencesChanged",
    "ProfileUpdated",
    "RegistrationRepeated",
    "UserBlocked",
    "UserDeactivated",
    "UserFollowed",
    "UserLoggedIn",
    "UserLoggedOut",
    "UserRegistered",
    "UserUnblocked",
    "UserUnfollowed",
]

OtherUser = Annotated[int, Field(description="The other user.")]


class _UserEvent(Event):
    family: ClassVar[str] = "user"
    ordered_by: ClassVar[str] = "user_id"

    user_id: UserId


class UserRegistered(_UserEvent):
    """An account was made."""

    name: ClassVar[str] = "user.registered"


class RegistrationRepeated(_UserEvent):
    """Somebody asked for an account with the e-mail address of this user, who has one; none was made."""

    name: ClassVar[str] = "user.registration_repeated"


class UserLoggedIn(_UserEvent):
    """A session of a user began; what the guest session held belongs to the user from now on."""

    name: ClassVar[str] = "user.logged_in"

    session_id: SessionId
    guest_session_id: Annotated[
        str | None, Field(description="The guest's session that became this user's, if there was one.")
    ] = None


class UserLoggedOut(_UserEvent):
    """A session ended, by the user or because it was revoked."""

    name: ClassVar[str] = "user.logged_out"

    session_id: MaybeSessionId = None


class ProfileUpdated(_UserEvent):
    """Profile or settings changed."""

    name: ClassVar[str] = "user.profile_updated"

    changed: Annotated[tuple[str, ...], Field(description="The names of the changed fields.")] = ()


class PasswordChanged(_UserEvent):
    """The password was changed; other sessions ended."""

    name: ClassVar[str] = "user.password_changed"


class AccountTokenRequested(_UserEvent):
    """A user is to get a one-time token by e-mail; it is made with the mail, so that no event holds it."""

    name: ClassVar[str] = "user.account_token_requested"

    purpose: Annotated[str, Field(description="`reset_password`, `confirm_email` or `change_email`.")]


class EmailChanged(_UserEvent):
    """An account has another e-mail address."""

    name: ClassVar[str] = "user.email_changed"

    former_email: Annotated[str, Field(description="The address until now, whose owner is notified.")]


class UserDeactivated(_UserEvent):
    """The account was closed to log-ins."""

    name: ClassVar[str] = "user.deactivated"


class UserFollowed(_UserEvent):
    """One user follows another."""

    name: ClassVar[str] = "user.followed"

    target_id: OtherUser


class UserUnfollowed(_UserEvent):
    """One user no longer follows another."""

    name: ClassVar[str] = "user.unfollowed"

    target_id: OtherUser


class UserBlocked(_UserEvent):
    """One user blocked another."""

    name: ClassVar[str] = "user.blocked"

    target_id: OtherUser


class UserUnblocked(_UserEvent):
    """One user no longer blocks another."""

    name: ClassVar[str] = "user.unblocked"

    target_id: OtherUser


class InteractionsRecorded(_UserEvent):
    """What a user did with products was stored, in whichever way it came in."""

    name: ClassVar[str] = "user.interactions_recorded"

    product_ids: Annotated[tuple[int, ...], Field(description="The products, each once.")]


class PreferencesChanged(_UserEvent):
    """What a user says they like changed."""

    name: ClassVar[str] = "user.preferences_changed"
