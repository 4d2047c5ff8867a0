"""Sends what is queued: claimed before it leaves, tried again later, given up after so many tries.

A process that dies between handing a message over and noting it sends that one message again after its
claim has run out: mail can't be both never lost and never doubled. The Message-ID (and the SMS provider's
key) stays the same, so that receivers can tell.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.notifications.channels import DeliveryRefused, Mail, send_mail, sms_provider
from recsys.domains.notifications.tables import EmailLog, OutgoingMessage, SmsLog
from recsys.errors import Conflict, NotFound, Unavailable
from recsys.events.publish import publish
from recsys.events.vocabulary import EmailFailed, EmailSent, SmsFailed, SmsSent
from recsys.settings import get_settings

__all__ = ["CLAIM", "backoff", "deliver_due", "note_receipt", "retry_mail"]

CLAIM = timedelta(minutes=5)
"""A message that is being sent is nobody else's for so long."""


@dataclass(frozen=True)
class _Claimed:
    id: int
    key: str
    to: str
    subject: str
    text: str
    html: str | None
    is_mail: bool
    attempt: int
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()


def backoff(attempt: int) -> timedelta:
    """How long to wait after a failed attempt (from 1): a minute, doubled each time, a day at most."""
    return min(timedelta(minutes=2 ** min(attempt - 1, 20)), timedelta(days=1))


def deliver_due(*, limit: int = 100) -> dict[str, int]:
    """Send what is due; how many were `sent`, will be tried again (`retried`), or were given up (`failed`).

    Safe to run in several processes: each message is claimed by one.
    """
    counts: Counter[str] = Counter(sent=0, retried=0, failed=0)
    for _ in range(limit):
        with unit_of_work() as session:
            claimed = _claim(session)
        if claimed is None:
            break
        counts[_send(claimed)] += 1
    return dict(counts)


def retry_mail(session: Session, log_id: int) -> EmailLog:
    """Try a queued e-mail again now, whenever it was due. Raises NotFound, or Conflict when it was sent."""
    log = session.get(EmailLog, log_id)
    if log is None:
        raise NotFound(f"There is no e-mail {log_id}.")
    message = session.scalars(
        select(OutgoingMessage).where(OutgoingMessage.email_log_id == log_id).with_for_update()
    ).one_or_none()
    if message is None or log.status == "sent":
        raise Conflict(f"The e-mail {log_id} is {log.status}; there is nothing left to send.")
    message.due_at, message.attempts, log.status = clock.now(), 0, "queued"
    return log


def note_receipt(session: Session, log_id: int, *, delivered: bool, reason: str | None) -> SmsLog:
    """Record the provider's report on a text message. Raises NotFound, and Conflict when it was not sent."""
    log = session.get(SmsLog, log_id, with_for_update=True)
    if log is None:
        raise NotFound(f"There is no text message {log_id}.")
    if log.sent_at is None:
        raise Conflict(f"The text message {log_id} is {log.status}; only a message that was sent arrives.")
    if delivered:
        log.status, log.delivered_at, log.error_message = "delivered", log.delivered_at or clock.now(), None
    elif log.delivered_at is None:
        log.status, log.error_message = "failed", reason or "the provider could not deliver it"
    return log


def _claim(session: Session) -> _Claimed | None:
    message = session.scalars(
        select(OutgoingMessage)
        .where(OutgoingMessage.due_at <= clock.now())
        .order_by(OutgoingMessage.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if message is None:
        return None
    message.attempts += 1
    message.due_at = clock.now() + CLAIM
    cc: list[str] | None = None
    bcc: list[str] | None = None
    if message.email_log_id is not None:
        mail = session.get_one(EmailLog, message.email_log_id)
        cc, bcc = mail.cc_email, mail.bcc_email
        to, subject, key = mail.to_email, mail.subject, f"mail-{mail.id}"
    else:
        sms = session.get_one(SmsLog, message.sms_log_id)
        to, subject, key = sms.phone_number, "", f"sms-{sms.id}"
    return _Claimed(
        message.id,
        key,
        to,
        subject,
        message.body_text,
        message.body_html,
        message.email_log_id is not None,
        message.attempts,
        tuple(cc or ()),
        tuple(bcc or ()),
    )


def _send(claimed: _Claimed) -> str:
    try:
        if claimed.is_mail:
            send_mail(
                Mail(
                    claimed.key,
                    claimed.to,
                    claimed.subject,
                    claimed.text,
                    claimed.html,
                    claimed.cc,
                    claimed.bcc,
                )
            )
        else:
            sms_provider().send(claimed.to, claimed.text, key=claimed.key)
    except DeliveryRefused as error:
        return _note(claimed, "failed", str(error))
    except Unavailable as error:
        given_up = claimed.attempt >= get_settings().notifications.max_attempts
        return _note(claimed, "failed" if given_up else "retried", error.message)
    return _note(claimed, "sent", None)


def _note(claimed: _Claimed, outcome: str, reason: str | None) -> str:
    with unit_of_work() as session:
        message = session.get(OutgoingMessage, claimed.id, with_for_update=True)
        if message is None:
            return outcome
        log = (
            session.get_one(EmailLog, message.email_log_id)
            if claimed.is_mail
            else session.get_one(SmsLog, message.sms_log_id)
        )
        log.error_message = reason
        log.status = "queued" if outcome == "retried" else outcome
        if outcome == "retried":
            message.due_at = clock.now() + backoff(claimed.attempt)
            return outcome
        if outcome == "sent":
            log.sent_at = clock.now()
            publish(
                session,
                EmailSent(email_log_id=log.id, user_id=message.user_id)
                if claimed.is_mail
                else SmsSent(sms_log_id=log.id, user_id=message.user_id),
            )
            session.delete(message)
        else:
            why = reason or "refused"
            publish(
                session,
                EmailFailed(email_log_id=log.id, user_id=message.user_id, reason=why)
                if claimed.is_mail
                else SmsFailed(sms_log_id=log.id, user_id=message.user_id, reason=why),
            )
            # the message stays, for a retry by hand; it is due no more
            message.due_at = clock.now() + timedelta(days=36_500)
    return outcome
