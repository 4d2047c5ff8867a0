"""Reminders of products: published for a segment, sent once in a period, and to nobody who refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.notifications.handlers import remind_of_product
from recsys.errors import Invalid
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import ProductReminderDue
from recsys.privacy import consent
from recsys.privacy.consent import Consent
from serving.segments.members import SegmentKind
from serving.segments.reminders import REMINDED_KINDS, remind
from serving.segments.service import SegmentRequest
from tests.serving.api.answers import execute
from tests.support.shop import Shop

REFUSING = 5


@pytest.mark.parametrize("pieces", [5, None])
def test_the_members_are_published_as_events(open_shop: Shop, pieces: int | None) -> None:
    now = clock.now()
    execute(open_shop, "DELETE FROM recommendations_db.user_interactions")
    for user in (1, 2, REFUSING):
        execute(
            open_shop,
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at) VALUES (%s, 7, 'view', %s)",
            user, now - timedelta(days=2),
        )  # fmt: skip
    execute(
        open_shop,
        "INSERT INTO products_db.inventory_logs (product_id, old_quantity, new_quantity, created_at) "
        "VALUES (7, 0, %s, %s)",
        pieces, now - timedelta(hours=3),
    )  # fmt: skip
    if pieces is None:
        execute(
            open_shop,
            "UPDATE products_db.product_variants SET inventory_quantity = 0, inventory_tracking = false "
            "WHERE product_id = 7",
        )
    with unit_of_work() as session:
        consent.change(session, REFUSING, None, Consent(False, True))
    answer = open_shop.run("segments", "remind", "back-in-stock")
    assert answer.stdout.startswith("2 reminders are due"), answer.stderr
    published = execute(
        open_shop,
        "SELECT data ->> 'user_id', data ->> 'product_id', data ->> 'reason' FROM analytics_db.outbox "
        "WHERE name = 'notification.product_reminder_due' ORDER BY 1",
    )
    assert published == [("1", "7", "back_in_stock"), ("2", "7", "back_in_stock")]
    assert open_shop.run("segments", "remind", "buyers").returncode == 2


def test_nobody_is_reminded_of_old_data(open_shop: Shop) -> None:
    for kind in REMINDED_KINDS:
        with pytest.raises(Invalid, match="so old"):
            remind(SegmentRequest(kind))
    with pytest.raises(Invalid, match="no product that a user knows"):
        remind(SegmentRequest(SegmentKind.LOOK_ALIKES, user_ids=(1,)))


def handle(**event: Any) -> None:
    given = ProductReminderDue(**{"user_id": 1, "product_id": 7, "reason": "price_drop", **event})
    with unit_of_work() as session:
        remind_of_product(session, Envelope(event_id=uuid4(), occurred_at=clock.now(), event=given))


def sent(shop: Shop) -> list[tuple[Any, ...]]:
    return execute(
        shop, "SELECT user_id, title, message FROM notifications_db.notifications ORDER BY user_id, id"
    )


def test_a_reminder_names_the_product_once_in_a_period(open_shop: Shop) -> None:
    for _ in range(3):
        handle()
    assert sent(open_shop) == [
        (1, "Coffee “7” costs less", "You looked at Coffee “7”: it costs 7.25 USD now.\n")
    ]
    handle(reason="back_in_stock")
    handle(product_id=8)
    handle(user_id=2)
    assert len(sent(open_shop)) == 4
    mails = "SELECT count(*) FROM notifications_db.email_logs WHERE subject = 'Coffee “7” costs less'"
    assert execute(open_shop, mails) == [(2,)]
    with clock.frozen_at(clock.now() + timedelta(days=13)):
        handle()
        assert len(sent(open_shop)) == 4
    with clock.frozen_at(clock.now() + timedelta(days=15)):
        handle()
        handle()
        assert len(sent(open_shop)) == 5


def test_who_refuses_is_closed_or_gone_hears_nothing(open_shop: Shop) -> None:
    with unit_of_work() as session:
        consent.change(session, REFUSING, None, Consent(False, True))
    handle(user_id=REFUSING)
    handle(user_id=29)
    handle(user_id=999)
    handle(product_id=999)
    execute(open_shop, "UPDATE products_db.products SET status = 'archived' WHERE id = 7")
    handle()
    assert sent(open_shop) == []
