"""Mails about an account: a welcome, one-time tokens, and notices of what was changed."""

from __future__ import annotations

from sqlalchemy.orm import Session

from recsys.domains.notifications import service, templates
from recsys.domains.notifications.service import MailBudget
from recsys.domains.notifications.templating import render
from recsys.domains.users.credentials import account_tokens
from recsys.domains.users.credentials.account_tokens import Purpose
from recsys.domains.users.tables import User
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import (
    AccountTokenRequested,
    EmailChanged,
    PasswordChanged,
    RegistrationRepeated,
    UserRegistered,
)

__all__ = [
    "notify_of_email",
    "notify_of_password",
    "send_account_token",
    "tell_of_registration",
    "welcome",
]


def welcome(session: Session, envelope: Envelope) -> None:
    """Welcome a new account; one whose address is to be confirmed gets the token for that instead."""
    event = envelope.event
    assert isinstance(event, UserRegistered)
    user = session.get(User, event.user_id)
    if user is None:
        return
    pending = account_tokens.renew(session, user.id, Purpose.CONFIRM_EMAIL)
    if pending is not None:
        _send_token(session, user.id, Purpose.CONFIRM_EMAIL, *pending)
        return
    service.notify(
        session, user.id, "welcome", {"name": user.full_name}, kind="account", once=str(envelope.event_id)
    )


def tell_of_registration(session: Session, envelope: Envelope) -> None:
    """Notify the owner of an account that somebody asked for another with the same address; once a day."""
    event = envelope.event
    assert isinstance(event, RegistrationRepeated)
    service.notify(
        session,
        event.user_id,
        "registered_again",
        {},
        kind="account",
        channels=(service.Channel.EMAIL,),
        once=f"registered-again:{envelope.occurred_at.date()}",
        budget=MailBudget.REGISTRATION,
    )


def send_account_token(session: Session, envelope: Envelope) -> None:
    """Send a one-time token: made here, so that no event and no stream ever holds it.

    Where the recipient was sent too many, no code for a new password is made, and another code is not sent.
    """
    event = envelope.event
    assert isinstance(event, AccountTokenRequested)
    user, purpose = session.get(User, event.user_id), Purpose(event.purpose)
    if user is None or user.is_active is False:
        return
    if purpose is Purpose.RESET_PASSWORD:
        is_allowed = service.within_budget(user.email, MailBudget.RESET)
        token = account_tokens.issue(session, user.id, purpose, user.email) if is_allowed else ""
        _mail(session, user.email, purpose, {"token": token}, user.id, is_allowed=is_allowed)
        return
    pending = account_tokens.renew(session, user.id, purpose)
    if pending is not None:
        _send_token(session, user.id, purpose, *pending)


def notify_of_password(session: Session, envelope: Envelope) -> None:
    """Notify a user that the password was changed, whatever channels were chosen."""
    event = envelope.event
    assert isinstance(event, PasswordChanged)
    user = session.get(User, event.user_id)
    if user is not None:
        _mail(session, user.email, "password_changed", {}, user.id)


def notify_of_email(session: Session, envelope: Envelope) -> None:
    """Notify the owner of the former address, whatever channels were chosen."""
    event = envelope.event
    assert isinstance(event, EmailChanged)
    _mail(session, event.former_email, "email_changed", {}, event.user_id)


def _send_token(session: Session, user_id: int, purpose: Purpose, token: str, email: str) -> None:
    is_allowed = service.within_budget(email, MailBudget(purpose.value))
    _mail(session, email, purpose, {"token": token}, user_id, is_allowed=is_allowed)


def _mail(
    session: Session,
    address: str,
    template: str,
    values: dict[str, str],
    user_id: int,
    *,
    is_allowed: bool = True,
) -> None:
    source, template_id = templates.source_of(session, template)
    service.notify_address(
        session, address, render(source, values), template_id, is_allowed=is_allowed, user_id=user_id
    )
