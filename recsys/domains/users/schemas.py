"""What the users domain takes in and answers over HTTP."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Annotated, Any, Literal

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from recsys import clock
from recsys.web.validators import Input, Text, storable

__all__ = [
    "AccountOut",
    "ActivityOut",
    "ConfirmEmailIn",
    "DeactivateIn",
    "EmailIn",
    "GuestSessionOut",
    "LoggedIn",
    "LoginIn",
    "MeOut",
    "PasswordIn",
    "ProfileIn",
    "PublicUser",
    "RegisterIn",
    "RegisteredOut",
    "ResetIn",
    "ResetRequestIn",
    "SessionOut",
    "UserBrief",
    "WantedJson",
    "normal_email",
    "normal_username",
]

_MAX_DEPTH = 8
_MAX_VALUES = 200


def normal_email(text: str) -> str:
    """The one spelling an address is stored in: lower case, Unicode normalised. Raises ValueError."""
    try:
        found = validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        raise ValueError("an e-mail address such as name@example.org") from None
    if len(found) > 255:
        raise ValueError("an e-mail address of at most 255 characters")
    return found


def normal_username(text: str) -> str:
    """The one spelling a name is stored in: lower case."""
    return text.lower()


def _bounded_json(value: dict[str, Any]) -> dict[str, Any]:
    waiting: list[tuple[Any, int]] = [(value, 1)]
    values = 0
    while waiting:
        one, depth = waiting.pop()
        values += 1
        if depth > _MAX_DEPTH or values > _MAX_VALUES:
            raise ValueError(f"at most {_MAX_VALUES} values, nested at most {_MAX_DEPTH} deep")
        if isinstance(one, str):
            if len(one) > 1000:
                raise ValueError("texts of at most 1000 characters")
            storable(one)
        elif isinstance(one, dict):
            waiting.extend((part, depth + 1) for pair in one.items() for part in pair)
        elif isinstance(one, list):
            waiting.extend((part, depth + 1) for part in one)
        elif isinstance(one, float) and not math.isfinite(one):
            raise ValueError("finite numbers; JSON has no NaN or Infinity")
        elif isinstance(one, int) and abs(one) >= 2**63:
            raise ValueError("whole numbers of at most 64 bits")
    return value


def _password(secret: SecretStr) -> SecretStr:
    storable(secret.get_secret_value())
    return secret


Email = Annotated[
    str,
    Field(min_length=3, max_length=320, examples=["ada@example.org"]),
    AfterValidator(storable),
    AfterValidator(normal_email),
]
Username = Annotated[
    str,
    Field(
        min_length=3,
        max_length=50,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Upper and lower case are the same name; it is kept in lower case.",
    ),
    AfterValidator(normal_username),
]
NewPassword = Annotated[
    SecretStr, Field(min_length=8, max_length=200, examples=["a long sentence"]), AfterValidator(_password)
]
OldPassword = Annotated[
    SecretStr, Field(min_length=1, max_length=200, examples=["a long sentence"]), AfterValidator(_password)
]
Url = Annotated[str, Field(max_length=500, pattern=r"^https?://[\x21-\x7e]+$")]
WantedJson = Annotated[dict[str, Any], AfterValidator(_bounded_json)]


class RegisterIn(Input):
    """A new account."""

    email: Email
    username: Username
    full_name: Annotated[Text, Field(min_length=1, max_length=255)]
    password: NewPassword


class RegisteredOut(BaseModel):
    """What was asked for, in the spelling it is kept in; nothing of whether there was an account before."""

    email: str
    username: str


class LoginIn(Input):
    """An account, by its e-mail address or username, and its password."""

    login: Annotated[Text, Field(min_length=1, max_length=320, description="E-mail address or username.")]
    password: OldPassword
    device_type: Annotated[Text, Field(max_length=50)] | None = None


class PasswordIn(Input):
    """The password of now and the one from now on."""

    current_password: OldPassword
    new_password: NewPassword


class EmailIn(Input):
    """Another address for the account; the password shows that it is you."""

    email: Email
    password: OldPassword


Code = Annotated[
    SecretStr,
    Field(min_length=20, max_length=200, examples=["pKq3vXw0Q1m6Yt2cB7n9sA8mN2b5V1c4X7z0L3k6J9h"]),
    AfterValidator(_password),
]


class ResetRequestIn(Input):
    """The e-mail address of an account whose password is forgotten."""

    email: Email


class ResetIn(Input):
    """The code that was sent by e-mail, and the new password."""

    token: Code
    new_password: NewPassword


class ConfirmEmailIn(Input):
    """The code that was sent to the address."""

    token: Code


class DeactivateIn(Input):
    """The password shows that it is you."""

    password: OldPassword


class ProfileIn(Input):
    """What is to change; a field that is left out stays, null empties it where it may be empty."""

    username: Username | None = None
    full_name: Annotated[Text, Field(min_length=1, max_length=255)] | None = None
    avatar_url: Url | None = None
    bio: Annotated[Text, Field(max_length=5000)] | None = None
    phone: Annotated[str, Field(max_length=20, pattern=r"^\+?[0-9][0-9 ()./-]{3,18}$")] | None = None
    address: Annotated[Text, Field(max_length=2000)] | None = None
    date_of_birth: date | None = None
    gender: Annotated[Text, Field(max_length=10)] | None = None

    @field_validator("date_of_birth")
    @classmethod
    def _lived(cls, day: date | None) -> date | None:
        if day is not None and not date(1900, 1, 1) <= day <= clock.now().date():
            raise ValueError("a day between 1900-01-01 and today")
        return day

    @field_validator("username", "full_name")
    @classmethod
    def _never_empty(cls, text: str | None) -> str | None:
        if text is None:
            raise ValueError("a text; this can't be emptied")
        return text


class _UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class LoggedIn(_UserOut):
    """The token is shown once; what is stored of it is a hash."""

    token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_at: datetime
    user_id: int
    username: str


class GuestSessionOut(BaseModel):
    """A guest session, for the header `X-Session-Id`."""

    session_id: str = Field(examples=["pKq3vXw0Q1m6Yt2cB7n9sA.8mN2b5V1c4X7z0L3k6J9hQ"])


class MeOut(_UserOut):
    """One's own account."""

    id: int
    email: str
    username: str
    full_name: str
    avatar_url: str | None
    is_admin: bool
    bio: str | None
    phone: str | None
    address: str | None
    date_of_birth: date | None
    gender: str | None
    last_seen: datetime | None
    created_at: datetime | None
    followers: int
    following: int


class AccountOut(_UserOut):
    """An account as administrators see it."""

    id: int
    email: str
    username: str
    full_name: str
    is_active: bool | None
    is_admin: bool | None
    last_seen: datetime | None
    created_at: datetime | None


class PublicUser(_UserOut):
    """What everybody may see of a user."""

    id: int
    username: str
    full_name: str
    avatar_url: str | None
    bio: str | None
    created_at: datetime | None
    is_online: bool
    followers: int
    following: int


class UserBrief(_UserOut):
    """A user in a list."""

    id: int
    username: str
    full_name: str
    avatar_url: str | None


class SessionOut(_UserOut):
    """A device that is logged in."""

    id: int
    device_type: str | None
    device_info: dict[str, Any]
    ip_address: str | None
    last_activity: datetime | None
    created_at: datetime | None
    expires_at: datetime
    current: bool = Field(description="Whether it is the session of this request.")


class ActivityOut(_UserOut):
    """Something one did with one's account."""

    id: int
    activity_type: str
    details: dict[str, Any]
    timestamp: datetime | None
