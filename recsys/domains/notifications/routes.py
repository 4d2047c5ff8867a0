"""Routes of notifications: the caller's messages, and the channels the caller accepts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from recsys.domains.notifications import inbox, preferences
from recsys.domains.notifications.schemas import ChannelsIn, ChannelsOut, Count, NotificationOut
from recsys.domains.notifications.tables import NotificationPreference
from recsys.web.dependencies import CurrentUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import CursorParam, Page, last_id, page_of
from recsys.web.validators import RowId

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["notifications"])


@router.get("/notifications", responses=problem_responses(401, 422, 503))
def list_notifications(
    session: SessionDep,
    user: CurrentUser,
    unread: bool = False,
    limit: Annotated[int, Query(ge=1, le=inbox.KEPT)] = 20,
    cursor: CursorParam = None,
) -> Page[NotificationOut]:
    """The caller's notifications, newest first."""
    before = last_id(cursor)
    if before is None and not unread and limit < inbox.KEPT:
        notifications = inbox.newest(session, user.user_id)[: limit + 1]
    else:
        notifications = inbox.older(session, user.user_id, before=before, limit=limit + 1, unread_only=unread)
    return page_of(notifications, limit, lambda notification: notification)


@router.get("/notifications/unread-count", responses=problem_responses(401, 422, 503))
def count_unread(session: SessionDep, user: CurrentUser) -> Count:
    """How many notifications the caller has not read."""
    return Count(count=inbox.unread(session, user.user_id))


@router.post("/notifications/read-all", responses=problem_responses(401, 422, 503))
def mark_all_read(session: SessionDep, user: CurrentUser) -> Count:
    """Mark all of the caller's notifications read; return how many were unread."""
    return Count(count=inbox.mark_all_read(session, user.user_id))


@router.post("/notifications/{notification_id}/read", responses=problem_responses(401, 404, 422, 503))
def mark_read(session: SessionDep, user: CurrentUser, notification_id: RowId) -> NotificationOut:
    """Mark one notification read; a repeated request changes nothing."""
    return inbox.mark_read(session, user.user_id, notification_id)


@router.get("/notification-preferences", responses=problem_responses(401, 422, 503))
def get_notification_preferences(session: SessionDep, user: CurrentUser) -> ChannelsOut:
    """The channels by which the caller is notified."""
    return _channels_out(preferences.of_user(session, user.user_id))


@router.put("/notification-preferences", responses=problem_responses(400, 401, 422, 503))
def set_notification_preferences(session: SessionDep, user: CurrentUser, chosen: ChannelsIn) -> ChannelsOut:
    """Choose the channels for notifications, in general and for single kinds of messages."""
    channels = {"email": chosen.email, "sms": chosen.sms, "push": chosen.push, "in_app": chosen.in_app}
    kinds = {kind: {str(name): on for name, on in by.items()} for kind, by in chosen.kinds.items()}
    return _channels_out(preferences.change(session, user.user_id, channels=channels, kinds=kinds))


def _channels_out(row: NotificationPreference) -> ChannelsOut:
    return ChannelsOut(
        email=row.email_enabled is not False,
        sms=row.sms_enabled is True,
        push=row.push_enabled is not False,
        in_app=row.in_app_enabled is not False,
        kinds=row.preferences or {},
    )
