"""Notifications: which user gets which message by which channel, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.after_commit import after_commit
from recsys.domains.notifications import inbox, preferences, templates
from recsys.domains.notifications.tables import (
    EmailLog,
    Notification,
    OutgoingMessage,
    SentNotice,
    SmsLog,
)
from recsys.domains.notifications.templating import Rendered, render
from recsys.domains.users.credentials import throttle
from recsys.domains.users.tables import User, UserProfile
from recsys.errors import NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import NotificationCreated
from recsys.settings import get_settings

__all__ = [
    "Channel",
    "MailBudget",
    "MessageIds",
    "Queued",
    "notify",
    "notify_address",
    "within_budget",
]


class Channel(StrEnum):
    """The channels of a message."""

    IN_APP = "in_app"
    EMAIL = "email"
    SMS = "sms"


class MailBudget(StrEnum):
    """Mails to one recipient that are counted together, so that a flood of one kind uses up no other."""

    USER = "user"
    """To a user's own account, caused by the user or the shop."""
    REGISTRATION = "registration"
    RESET = "reset_password"
    CONFIRM = "confirm_email"
    CHANGE = "change_email"
    """Of these four anybody can ask; codes have the names of their purposes."""
    UNPAID_ORDER = "unpaid order"
    """Of a guest: anybody can place orders in the name of any address."""
    PAID_ORDER = "paid order"


ALL = (Channel.IN_APP, Channel.EMAIL, Channel.SMS)
MessageIds = Mapping[Channel, int]
"""By channel: the id of the notification, or of the log row of an e-mail or text message."""
Queued = int


def notify(
    session: Session,
    user_id: int,
    template: str,
    values: Mapping[str, Any],
    *,
    kind: str = "order_update",
    data: Mapping[str, Any] | None = None,
    channels: Sequence[Channel] = ALL,
    once: str | None = None,
    again_after: timedelta | None = None,
    cc: Sequence[str] = (),
    bcc: Sequence[str] = (),
    budget: MailBudget = MailBudget.USER,
) -> MessageIds:
    """Notify a user by those of `channels` that the user accepts and can be reached by.

    Parameters
    ----------
    template
        Name of the template.
    values
        Of its variables.
    kind
        What the message is about, which the user may refuse.
    data
        What a notification in the shop carries beside its text.
    once
        Key of the message; a second call with the same key sends nothing.
    again_after
        After so long the same key may be sent again; None: never.
    budget
        Which of the budgets of an e-mail address it counts for.

    Raises
    ------
    NotFound
        The user or the template is unknown; then nothing is sent.
    Invalid
        The template cannot be filled; then nothing is sent.
    """
    user = session.get(User, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    source, template_id = templates.source_of(session, template)
    message = render(source, values)
    if once is not None and not _first(session, f"{once}:user:{user_id}", again_after):
        return {}
    wanted = [one for one in channels if preferences.wants(session, user_id, one, kind)]
    queued: dict[Channel, int] = {}
    if Channel.IN_APP in wanted:
        queued[Channel.IN_APP] = _in_app(session, user_id, kind, message, data or {})
    if Channel.EMAIL in wanted and user.is_active is not False:
        queued[Channel.EMAIL] = notify_address(
            session,
            user.email,
            message,
            template_id,
            is_allowed=within_budget(user.email, budget),
            user_id=user_id,
            cc=cc,
            bcc=bcc,
        )
    if Channel.SMS in wanted and user.is_active is not False:
        phone = session.scalar(select(UserProfile.phone).where(UserProfile.user_id == user_id).limit(1))
        if phone:
            queued[Channel.SMS] = _text(session, phone, message, template_id, user_id)
    return queued


def notify_address(
    session: Session,
    address: str,
    message: Rendered,
    template_id: int | None,
    *,
    is_allowed: bool,
    user_id: int | None = None,
    once: str | None = None,
    cc: Sequence[str] = (),
    bcc: Sequence[str] = (),
) -> Queued:
    """Queue an e-mail to an address without an account, such as a guest's.

    Parameters
    ----------
    template_id
        The template that the message was made of; None for the built-in one.
    is_allowed
        Whether the budget has room for it (`within_budget`); if not, it is logged as `suppressed` and not
        sent.
    user_id
        The user whose address it is, if any.
    once
        Key of the message.

    Returns
    -------
    int
        The id of its log row; 0 when a message with the key `once` was queued before.
    """
    if once is not None and not _first(session, f"{once}:mail:{address.lower()}"):
        return 0
    log = EmailLog(
        to_email=address,
        cc_email=list(cc) or None,
        bcc_email=list(bcc) or None,
        subject=message.subject,
        template_id=template_id,
        status="queued" if is_allowed else "suppressed",
        error_message=None if is_allowed else "too many mails of this kind to this address",
        created_at=clock.now(),
    )
    session.add(log)
    session.flush()
    if not is_allowed:
        return log.id
    session.add(
        OutgoingMessage(
            email_log_id=log.id,
            user_id=user_id,
            body_text=message.text,
            body_html=message.html,
            due_at=clock.now(),
        )
    )
    return log.id


def within_budget(address: str, budget: MailBudget) -> bool:
    """Count a mail to an address, and say whether the budget has room for it.

    Codes for a new password are counted over the time for which a code is valid: a recipient who is sent no
    further code has a valid code already.
    """
    settings = get_settings()
    seconds = settings.users.reset_minutes * 60 if budget is MailBudget.RESET else 3600.0
    return throttle.may_receive(
        address, budget, most=settings.notifications.mails_per_recipient, seconds=seconds
    )


def _text(session: Session, phone: str, message: Rendered, template_id: int | None, user_id: int) -> Queued:
    log = SmsLog(
        phone_number=phone,
        message=message.text,
        template_id=template_id,
        status="queued",
        created_at=clock.now(),
    )
    session.add(log)
    session.flush()
    session.add(
        OutgoingMessage(sms_log_id=log.id, user_id=user_id, body_text=message.text, due_at=clock.now())
    )
    return log.id


def _in_app(session: Session, user_id: int, kind: str, message: Rendered, data: Mapping[str, Any]) -> int:
    row = Notification(
        user_id=user_id,
        type=kind,
        title=message.subject,
        message=message.text,
        data=dict(data),
        is_read=False,
        created_at=clock.now(),
    )
    session.add(row)
    session.flush()
    publish(session, NotificationCreated(notification_id=row.id, user_id=user_id, kind=kind))
    after_commit(session, lambda: inbox.forget(user_id))
    return row.id


def _first(session: Session, key: str, again_after: timedelta | None = None) -> bool:
    now = clock.now()
    notice = insert(SentNotice).values(key=key[:255], created_at=now)
    if again_after is None:
        notice = notice.on_conflict_do_nothing(index_elements=[SentNotice.key])
    else:
        notice = notice.on_conflict_do_update(
            index_elements=[SentNotice.key],
            set_={"created_at": now},
            where=SentNotice.created_at <= now - again_after,
        )
    return session.scalar(notice.returning(SentNotice.key)) is not None
