"""Settings of the HTTP edge, of accounts and of messages."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from recsys.diagnosis import setting_values

__all__ = ["SHORTEST_SECRET", "ApiSettings", "NotificationSettings", "UserSettings"]

SHORTEST_SECRET = 16
"""Characters of a secret that something is signed with."""


InteractionWord = Literal["view", "like", "add_to_cart", "purchase", "review", "dismissed"]


class ApiSettings(BaseModel, extra="forbid"):
    """Where `recsys serve api` listens (a taken port moves on to the next free one), and whom it answers.

    Attributes
    ----------
    host, port
        The address and the first port that is tried.
    rate_per_second, burst
        Of one API key, or of one address without a key; a rate of 0 limits nobody. A key may have a rate of
        its own (`recsys keys create --rate`).
    cors_origins
        Pages of these origins may call the API from a browser, such as https://shop.example.
    guests_may_collect
        Visitors who are not logged in may send page views, product views, clicks and events from their
        browser; otherwise it takes a key with the scope `events`, or a log-in.
    cursor_secrets
        What cursors of pages and guest sessions are signed with; the first one signs, all are accepted. To
        change it, put a new one in front and drop the old one when its guests are gone. Unset: made from
        payments.webhook_secret, else from a file under `var/`.
    page_rate_per_second
        Requests of one visitor's address with a publishable key; bursts of four times as many. 0 limits
        nobody; a key may have a rate of its own (`recsys keys publish --rate`).
    user_token_secrets
        What the signing secrets of publishable keys are made from; rotated like cursor_secrets. Unset: in
        development from a file under `var/`; elsewhere no user token is accepted.
    gorse_feedback_types
        A shop's own feedback types of Gorse's API (`docs/gorse.md`), each with the type of interaction that
        it becomes, such as {"gaze": "view"}; they precede the usual names.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    rate_per_second: float = Field(default=1000.0, ge=0, le=1e6)
    burst: int = Field(default=2000, ge=1, le=10_000_000)
    cors_origins: tuple[str, ...] = ()
    guests_may_collect: bool = False
    cursor_secrets: tuple[SecretStr, ...] = ()
    page_rate_per_second: float = Field(default=50.0, ge=0, le=1e6)
    user_token_secrets: tuple[SecretStr, ...] = ()
    gorse_feedback_types: dict[str, InteractionWord] = {}

    @field_validator("gorse_feedback_types")
    @classmethod
    def _in_lower_case(cls, given: dict[str, InteractionWord]) -> dict[str, InteractionWord]:
        return {name.lower(): kind for name, kind in given.items()}

    @field_validator("cursor_secrets", "user_token_secrets")
    @classmethod
    def _are_long_enough(cls, given: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(one.get_secret_value()) < SHORTEST_SECRET for one in given):
            raise ValueError(f"a JSON list of secrets of {SHORTEST_SECRET} or more random characters each")
        return given

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(setting_values.origin, origins))


class UserSettings(BaseModel, extra="forbid"):
    """Accounts: how long a log-in lasts, how often one may fail, and what a password's hash costs.

    Attributes
    ----------
    session_days
        A log-in lasts so long.
    max_sessions
        Log-ins of one user; one more ends the log-in that was idle longest.
    failures_per_account, failures_per_address, failure_window_minutes
        Failed log-ins within the window, after which more are refused until it ends.
    mails_per_address
        Requests within the same window that send a mail to an address of the caller's choice (registrations,
        codes), from one address.
    confirm_email
        An account is open, and another address is used, only when a code that was sent to the address was
        returned.
    reset_minutes, confirm_hours
        Codes for a new password and for addresses are valid so long.
    online_seconds
        A user without a request for so long is no longer online.
    max_following
        Users that one user may follow.
    argon2_time_cost, argon2_memory_kib, argon2_parallelism
        Cost of a password's hash; a change is taken over at each user's next log-in.
    """

    session_days: float = Field(default=30.0, gt=0)
    max_sessions: int = Field(default=20, ge=1, le=100)
    failures_per_account: int = Field(default=10, ge=1)
    failures_per_address: int = Field(default=100, ge=1)
    failure_window_minutes: float = Field(default=15.0, gt=0)
    mails_per_address: int = Field(default=30, ge=1)
    confirm_email: bool = False
    reset_minutes: float = Field(default=60.0, gt=0, le=1440)
    confirm_hours: float = Field(default=48.0, gt=0, le=720)
    online_seconds: float = Field(default=300.0, gt=60)
    max_following: int = Field(default=5000, ge=1)
    argon2_time_cost: int = Field(default=2, ge=1)
    argon2_memory_kib: int = Field(default=19456, ge=8)
    argon2_parallelism: int = Field(default=1, ge=1)


class NotificationSettings(BaseModel, extra="forbid"):
    """How messages leave: an SMTP server for e-mail, a provider for text messages (`sandbox` sends none).

    Attributes
    ----------
    mail_from
        Sender of e-mail.
    smtp_host, smtp_port, smtp_starttls, smtp_user, smtp_password
        The SMTP server; without a host, e-mail is not sent.
    smtp_timeout
        Seconds that the SMTP server has for an answer.
    sms_provider
        Name of the provider of text messages.
    max_attempts
        A message is tried so often, then it has failed.
    mails_per_recipient
        E-mails of one kind to one address within an hour; more are logged as `suppressed`, not sent. Kinds:
        those to a user, codes for a new password (within the time for which one is valid), codes that confirm
        an address, repeated registrations, a guest's unpaid orders, and paid ones.
    reminder_days
        A user hears of a product for one reason (lower price, in stock again, needed again) once at most
        within so many days; not more than `notice_days`.
    notice_days
        Which notice a user got is known for so long, so that none is sent twice.
    """

    mail_from: str = Field(default="shop@localhost", min_length=3, max_length=255)
    smtp_host: str | None = None
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_starttls: bool = False
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_timeout: float = Field(default=10.0, gt=0)
    sms_provider: str = Field(default="sandbox", min_length=1, max_length=50)
    max_attempts: int = Field(default=8, ge=1, le=100)
    mails_per_recipient: int = Field(default=20, ge=1)
    reminder_days: float = Field(default=14.0, gt=0)
    notice_days: float = Field(default=90.0, ge=1)
