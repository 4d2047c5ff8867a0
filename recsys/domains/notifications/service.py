"""Notifications: which user gets which message by which channel, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
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
from recsys.domains.users.tables import User, UserProfile
from recsys.errors import NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import NotificationCreated
from recsys.settings import get_settings

__all__ = ["Channel", "MessageIds", "Queued", "notify", "notify_address"]


class Channel(StrEnum):
    """The channels of a message."""

    IN_APP = "in_app"
    EMAIL = "email"
    SMS = "sms"


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
    cc: Sequence[str] = (),
    bcc: Sequence[str] = (),
) -> MessageIds:
    """Notify a user by those of `channels` that the user accepts and can be reached by.

    Parameters
    ----------
    once
        Key of the message; a second call with the same key sends nothing.

    Raises NotFound for an unknown user or template, Invalid where the template cannot be filled; then nothing
    is sent.
    """
    user = session.get(User, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    source, template_id = templates.source_of(session, template)
    message = render(source, values)
    if once is not None and not _first(session, f"{once}:user:{user_id}"):
        return {}
    wanted = [one for one in channels if preferences.wants(session, user_id, one, kind)]
    queued: dict[Channel, int] = {}
    if Channel.IN_APP in wanted:
        queued[Channel.IN_APP] = _in_app(session, user_id, kind, message, data or {})
    if Channel.EMAIL in wanted and user.is_active is not False:
        queued[Channel.EMAIL] = notify_address(
            session, user.email, message, template_id, user_id=user_id, cc=cc, bcc=bcc
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
    user_id: int | None = None,
    once: str | None = None,
    cc: Sequence[str] = (),
    bcc: Sequence[str] = (),
) -> Queued:
    """Queue an e-mail to an address without an account, such as a guest's; return the id of its log row.

    0 when a message with the key `once` was queued before.
    """
    if once is not None and not _first(session, f"{once}:mail:{address.lower()}"):
        return 0
    suppressed = _mails_of_late(session, address) >= get_settings().notifications.mails_per_recipient
    log = EmailLog(
        to_email=address,
        cc_email=list(cc) or None,
        bcc_email=list(bcc) or None,
        subject=message.subject,
        template_id=template_id,
        status="suppressed" if suppressed else "queued",
        error_message="too many mails to this address within an hour" if suppressed else None,
        created_at=clock.now(),
    )
    session.add(log)
    session.flush()
    if suppressed:
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


def _mails_of_late(session: Session, address: str) -> int:
    """How many mails to an address were logged within the last hour, suppressed ones left out."""
    query = select(func.count()).where(
        func.lower(EmailLog.to_email) == address.lower(),
        EmailLog.created_at > clock.now() - timedelta(hours=1),
        EmailLog.status != "suppressed",
    )
    return int(session.scalar(query) or 0)


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


def _first(session: Session, key: str) -> bool:
    fresh = session.scalar(
        insert(SentNotice)
        .values(key=key[:255], created_at=clock.now())
        .on_conflict_do_nothing(index_elements=[SentNotice.key])
        .returning(SentNotice.key)
    )
    return fresh is not None
