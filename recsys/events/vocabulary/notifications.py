"""What was sent to users and read by them (stream `notification_events`)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from recsys.events.vocabulary.base import Event, MaybeUserId, NotificationId, ProductId, UserId

__all__ = [
    "EmailFailed",
    "EmailSent",
    "NotificationCreated",
    "NotificationRead",
    "ProductReminderDue",
    "ReminderReason",
    "SmsFailed",
    "SmsSent",
]

Kind = Annotated[str | None, Field(description="The type of notification or the template's name.")]
ReminderReason = Literal["price_drop", "back_in_stock", "replenishment"]
Reason = Annotated[str, Field(description="Why it failed, without addresses.")]


class NotificationCreated(Event):
    """A user has a new notification."""

    name: ClassVar[str] = "notification.created"
    family: ClassVar[str] = "notification"
    ordered_by: ClassVar[str] = "notification_id"

    notification_id: NotificationId
    user_id: UserId
    kind: Kind = None


class NotificationRead(Event):
    """A user read a notification."""

    name: ClassVar[str] = "notification.read"
    family: ClassVar[str] = "notification"
    ordered_by: ClassVar[str] = "notification_id"

    notification_id: NotificationId
    user_id: UserId


class ProductReminderDue(Event):
    """A user may want to hear of a product: it costs less, is in stock again, or is needed again."""

    name: ClassVar[str] = "notification.product_reminder_due"
    family: ClassVar[str] = "notification"

    user_id: UserId
    product_id: ProductId
    reason: Annotated[ReminderReason, Field(description="Why now.")]

    @property
    def aggregate(self) -> str:
        """Events of one user keep their order."""
        return f"user:{self.user_id}"


class _Email(Event):
    family: ClassVar[str] = "notification"

    email_log_id: Annotated[int, Field(description="The row in `email_logs`.")]
    user_id: MaybeUserId = None
    kind: Kind = None

    @property
    def aggregate(self) -> str:
        return f"email:{self.email_log_id}"


class EmailSent(_Email):
    """The mail server took an e-mail."""

    name: ClassVar[str] = "notification.email_sent"


class EmailFailed(_Email):
    """An e-mail could not be sent."""

    name: ClassVar[str] = "notification.email_failed"

    reason: Reason


class _Sms(Event):
    family: ClassVar[str] = "notification"

    sms_log_id: Annotated[int, Field(description="The row in `sms_logs`.")]
    user_id: MaybeUserId = None
    kind: Kind = None

    @property
    def aggregate(self) -> str:
        return f"sms:{self.sms_log_id}"


class SmsSent(_Sms):
    """The provider took a text message."""

    name: ClassVar[str] = "notification.sms_sent"


class SmsFailed(_Sms):
    """A text message could not be sent."""

    name: ClassVar[str] = "notification.sms_failed"

    reason: Reason
