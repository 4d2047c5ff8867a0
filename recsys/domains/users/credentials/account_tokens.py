"""One-time tokens that travel by e-mail: to reset a password, to confirm an address, to change to another.

A token is 256 random bits and is stored as its SHA-256. It expires, and it is redeemed once, by a single
statement, however many requests send it at the same time. A user has at most one of a purpose; only codes for
a new password stay valid beside each other, since anybody can ask for another one: a stranger must not make
void what the owner has just received. The password that one of them sets makes the others void.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.users.tables import AccountToken
from recsys.errors import Invalid
from recsys.security import new_token, token_id
from recsys.settings import get_settings

__all__ = ["Purpose", "awaits_confirmation", "discard", "issue", "redeem", "renew"]


class Purpose(StrEnum):
    """What a token proves that its holder may do."""

    RESET_PASSWORD = "reset_password"
    CONFIRM_EMAIL = "confirm_email"
    CHANGE_EMAIL = "change_email"


def issue(session: Session, user_id: int, purpose: Purpose, email: str) -> str:
    """A new token for the owner of `email`; earlier ones are void, except codes for a new password."""
    settings, now, token = get_settings().users, clock.now(), new_token()
    if purpose is Purpose.RESET_PASSWORD:
        of_user = AccountToken.user_id == user_id, AccountToken.purpose == purpose
        session.execute(delete(AccountToken).where(*of_user, AccountToken.expires_at <= now))
    else:
        discard(session, user_id, purpose)
    valid = (
        timedelta(minutes=settings.reset_minutes)
        if purpose is Purpose.RESET_PASSWORD
        else timedelta(hours=settings.confirm_hours)
    )
    session.add(
        AccountToken(
            user_id=user_id,
            purpose=purpose,
            token_hash=token_id(token),
            email=email,
            created_at=now,
            expires_at=now + valid,
        )
    )
    session.flush()
    return token


def renew(session: Session, user_id: int, purpose: Purpose) -> tuple[str, str] | None:
    """A new token in place of the pending one, with the address that it is for; None when none is pending."""
    email = session.scalar(
        select(AccountToken.email).where(
            AccountToken.user_id == user_id,
            AccountToken.purpose == purpose,
            AccountToken.used_at.is_(None),
        )
    )
    return None if email is None else (issue(session, user_id, purpose, email), email)


def redeem(session: Session, token: str, *purposes: Purpose) -> AccountToken:
    """Use up a token. Raises Invalid for an unknown, expired or used token, or another purpose."""
    now = clock.now()
    row = session.scalars(
        update(AccountToken)
        .where(
            AccountToken.token_hash == token_id(token),
            AccountToken.purpose.in_(purposes),
            AccountToken.used_at.is_(None),
            AccountToken.expires_at > now,
        )
        .values(used_at=now)
        .returning(AccountToken)
    ).one_or_none()
    if row is None:
        raise Invalid("This code is not valid, has expired or was used; ask for a new one.")
    return row


def discard(session: Session, user_id: int, *purposes: Purpose) -> None:
    """Void the pending tokens of these purposes."""
    session.execute(
        delete(AccountToken).where(
            AccountToken.user_id == user_id,
            AccountToken.purpose.in_(purposes),
            AccountToken.used_at.is_(None),
        )
    )


def awaits_confirmation(session: Session, user_id: int) -> bool:
    """Whether the address of a new account is not yet confirmed."""
    pending = exists().where(
        AccountToken.user_id == user_id,
        AccountToken.purpose == Purpose.CONFIRM_EMAIL,
        AccountToken.used_at.is_(None),
    )
    return bool(session.scalar(select(pending)))
