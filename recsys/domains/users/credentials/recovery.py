"""Accounts by e-mail: one-time tokens replace a forgotten password and confirm or change an address."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys.domains.users import activities, sessions
from recsys.domains.users.credentials import account_tokens, throttle
from recsys.domains.users.credentials.account_tokens import Purpose
from recsys.domains.users.credentials.equal_work import kept_if
from recsys.domains.users.service import replace_password, set_email
from recsys.domains.users.sessions import lock_user
from recsys.domains.users.tables import User
from recsys.errors import Invalid
from recsys.events.publish import publish
from recsys.events.vocabulary import AccountTokenRequested

__all__ = ["confirm_email", "request_reset", "reset_password"]

_NOBODY = 2**31 - 1
"""Stands for the user where there is none; what is written of it is undone."""


def request_reset(session: Session, email: str, address: str | None) -> None:
    """Have a code for a new password sent to the owner of `email`.

    Answer and statements are the same when there is no account, and when the owner was sent so many codes
    that this request sends none.

    Raises
    ------
    Throttled
        The caller's address asked for too many mails.
    """
    throttle.count_mail(address)
    user_id = session.scalar(
        select(User.id)
        .where(func.lower(User.email) == email, User.is_active.is_not(False))
        .order_by(User.id)
        .limit(1)
    )
    with kept_if(session, user_id is not None):
        publish(session, AccountTokenRequested(user_id=user_id or _NOBODY, purpose=Purpose.RESET_PASSWORD))


def reset_password(session: Session, token: str, new: str, address: str | None) -> None:
    """Replace a password by a token; every session ends.

    The token was sent to the address, so its use also confirms the address.

    Raises
    ------
    Invalid
        The token is not valid, has expired or was used, or the new password is refused.
    Throttled
        The caller's address failed too often.
    """
    attempt = throttle.begin(None, address)
    row = account_tokens.redeem(session, token, Purpose.RESET_PASSWORD)
    user = lock_user(session, row.user_id)
    if user.is_active is False or user.email.lower() != row.email.lower():
        raise Invalid("This code is not valid, has expired or was used; ask for a new one.")
    replace_password(session, user, new)
    account_tokens.discard(session, user.id, Purpose.CONFIRM_EMAIL, Purpose.CHANGE_EMAIL)
    sessions.end_all(session, user.id)
    attempt.succeeded_after_commit(session)


def confirm_email(session: Session, token: str, address: str | None) -> None:
    """Confirm the address of an account, or change to the address that the token was sent to.

    Raises
    ------
    Invalid
        The token is not valid, has expired or was used.
    Conflict
        The address belongs to another account meanwhile.
    Throttled
        The caller's address failed too often.
    """
    attempt = throttle.begin(None, address)
    row = account_tokens.redeem(session, token, Purpose.CONFIRM_EMAIL, Purpose.CHANGE_EMAIL)
    user = lock_user(session, row.user_id)
    if row.purpose == Purpose.CHANGE_EMAIL:
        set_email(session, user, row.email)
    activities.record(session, user.id, "email_confirmed")
    attempt.succeeded_after_commit(session)
