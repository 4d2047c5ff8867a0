"""Routes of notifications for administrators: templates, messages to users, delivery logs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy import select

from recsys.database.session import unit_of_work
from recsys.domains.notifications import delivery, service, templates
from recsys.domains.notifications.schemas import (
    EmailLogOut,
    NotifyIn,
    NotifyOut,
    SmsLogOut,
    SmsReceiptIn,
    TemplateIn,
    TemplateNew,
    TemplateOut,
    TemplatePreviewIn,
    TemplatePreviewOut,
)
from recsys.domains.notifications.tables import EmailLog, SmsLog
from recsys.domains.notifications.templating import TemplateSource, preview
from recsys.web.dependencies import AdminUser, BriefAdmin, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import CursorParam, Limit, Page, last_id, page_of
from recsys.web.validators import RowId

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/admin", tags=["notifications (admin)"])

Name = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[a-z][a-z0-9_\-]*$")]


@router.get("/notification-templates", responses=problem_responses(401, 403, 422, 503))
def list_templates(session: SessionDep, admin: AdminUser) -> list[TemplateOut]:
    """All templates, including those that recsys ships."""
    return [TemplateOut.model_validate(one) for one in templates.all_of(session)]


@router.post(
    "/notification-templates", status_code=201, responses=problem_responses(400, 401, 403, 409, 422, 503)
)
def create_template(session: SessionDep, admin: AdminUser, given: TemplateNew) -> TemplateOut:
    """Create a template."""
    return TemplateOut.model_validate(templates.create(session, _source(given.name, given), given.type))


@router.put("/notification-templates/{name}", responses=problem_responses(400, 401, 403, 404, 422, 503))
def change_template(session: SessionDep, admin: AdminUser, name: Name, given: TemplateIn) -> TemplateOut:
    """Replace the parts of a template, or deactivate it."""
    row = templates.change(session, _source(name, given), is_active=given.is_active)
    return TemplateOut.model_validate(row)


@router.post(
    "/notification-templates/{name}/preview", responses=problem_responses(400, 401, 403, 404, 422, 503)
)
def preview_template(admin: BriefAdmin, name: Name, given: TemplatePreviewIn) -> TemplatePreviewOut:
    """Render a template with these values; nothing is sent. Exceeding the limits is a 422."""
    # no connection is held while it is filled
    with unit_of_work() as session:
        source, _ = templates.source_of(session, name)
    filled = preview(source, given.values)
    return TemplatePreviewOut(subject=filled.subject, html=filled.html, text=filled.text)


@router.post("/notifications", status_code=201, responses=problem_responses(400, 401, 403, 404, 422, 503))
def notify(session: SessionDep, admin: AdminUser, given: NotifyIn) -> NotifyOut:
    """Notify one user by those of the channels that the user accepts."""
    queued = service.notify(
        session,
        given.user_id,
        given.template,
        given.values,
        kind=given.kind,
        channels=[service.Channel(one) for one in given.channels],
        cc=given.cc,
        bcc=given.bcc,
    )
    return NotifyOut(messages={str(channel): number for channel, number in queued.items()})


@router.get("/email-logs", responses=problem_responses(401, 403, 422, 503))
def list_mails(
    session: SessionDep, admin: AdminUser, limit: Limit = 20, cursor: CursorParam = None
) -> Page[EmailLogOut]:
    """E-mails with their delivery status, newest first."""
    query = select(EmailLog).order_by(EmailLog.id.desc()).limit(limit + 1)
    if (before := last_id(cursor)) is not None:
        query = query.where(EmailLog.id < before)
    logs = session.scalars(query).all()
    return page_of(logs, limit, EmailLogOut.model_validate)


@router.get("/sms-logs", responses=problem_responses(401, 403, 422, 503))
def list_texts(
    session: SessionDep, admin: AdminUser, limit: Limit = 20, cursor: CursorParam = None
) -> Page[SmsLogOut]:
    """Text messages with their delivery status, newest first."""
    query = select(SmsLog).order_by(SmsLog.id.desc()).limit(limit + 1)
    if (before := last_id(cursor)) is not None:
        query = query.where(SmsLog.id < before)
    logs = session.scalars(query).all()
    return page_of(logs, limit, SmsLogOut.model_validate)


@router.post("/email-logs/{log_id}/retry", responses=problem_responses(401, 403, 404, 409, 422, 503))
def retry_mail(session: SessionDep, admin: AdminUser, log_id: RowId) -> EmailLogOut:
    """Queue an e-mail that failed, or waits, for the next delivery."""
    return EmailLogOut.model_validate(delivery.retry_mail(session, log_id))


@router.post("/sms-logs/{log_id}/receipt", responses=problem_responses(400, 401, 403, 404, 409, 422, 503))
def receive_receipt(
    session: SessionDep,
    admin: AdminUser,
    log_id: RowId,
    given: SmsReceiptIn,
) -> SmsLogOut:
    """Record whether a text message was delivered; for the webhook of the provider, with a key for `admin`.

    The provider receives the id with the message, as `sms-ID` in its key.
    """
    log = delivery.note_receipt(session, log_id, delivered=given.delivered, reason=given.error_message)
    return SmsLogOut.model_validate(log)


def _source(name: str, given: TemplateIn) -> TemplateSource:
    return TemplateSource(name, given.subject, given.body_html, given.body_text, dict(given.variables))
