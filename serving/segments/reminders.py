"""Events for the people of a segment, from which the shop's notifications are made."""

from __future__ import annotations

from typing import get_args

from recsys.database.session import unit_of_work
from recsys.errors import Invalid
from recsys.events.publish import publish
from recsys.events.vocabulary.notifications import ProductReminderDue, ReminderReason
from serving.segments.members import SegmentKind
from serving.segments.service import SegmentRequest, make

__all__ = ["REMINDED_KINDS", "remind"]

REMINDED_KINDS: dict[SegmentKind, ReminderReason] = {
    SegmentKind(reason.replace("_", "-")): reason for reason in get_args(ReminderReason)
}
"""The segments about a product that a user already knows."""
_BATCH = 1_000


def remind(request: SegmentRequest) -> int:
    """Publish `ProductReminderDue` for each member; return how many.

    The notifications send each reminder once within `notifications.reminder_days`, so that this may run every
    hour.

    Raises
    ------
    Invalid
        The segment is of another kind, or there is no recent interaction: reminders of old data would reach
        real people.
    """
    reason = REMINDED_KINDS.get(request.kind)
    if reason is None:
        raise Invalid(
            f"{request.kind} is about no product that a user knows; remind of {', '.join(REMINDED_KINDS)}"
        )
    with unit_of_work() as session:
        segment = make(session, request)
    if segment.from_old_data:
        raise Invalid(
            f"the newest interaction is of {segment.as_of:%Y-%m-%d}: nobody is reminded of what is so old; "
            "import what happened since"
        )
    about = [(each.user_id, each.product_id) for each in segment.members if each.product_id is not None]
    for first in range(0, len(about), _BATCH):
        with unit_of_work() as session:
            for user, product in about[first : first + _BATCH]:
                publish(session, ProductReminderDue(user_id=user, product_id=product, reason=reason))
    return len(about)
