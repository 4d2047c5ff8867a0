"""A user whom any program deletes leaves nothing on servers that no foreign key reaches."""

from __future__ import annotations

import psycopg
import pytest

from recsys.database.metadata import metadata
from recsys.database.servers.placement import ServerName, server_of
from recsys.database.servers.relocation import add_deletion_trigger
from recsys.database.session import unit_of_work
from recsys.domains.analytics.tables import PageView
from recsys.domains.notifications.tables import Notification
from recsys.domains.recommendations.tables import UserInteraction, UserPreference
from recsys.domains.users.tables import User
from recsys.events import in_process
from tests.support.shop import Shop
from tests.support.waiting import until

_MARKS = {
    "analytics_db.page_views": "SELECT user_id FROM analytics_db.page_views ORDER BY id",
    "notifications_db.notifications": "SELECT user_id FROM notifications_db.notifications ORDER BY id",
    "recommendations_db.user_interactions": (
        "SELECT user_id FROM recommendations_db.user_interactions ORDER BY id"
    ),
    "recommendations_db.user_preferences": "SELECT user_id FROM recommendations_db.user_preferences",
}


@pytest.fixture
def divided(shop: Shop, other_servers: dict[ServerName, str]) -> Shop:
    """Users 1 and 2 with rows on each server."""
    with psycopg.connect(shop.database_url) as connection:
        add_deletion_trigger(connection)
    with unit_of_work() as session:
        session.add_all(
            User(id=i, email=f"{i}@b.example", username=f"u{i}", full_name="", password_hash="!")
            for i in (1, 2)
        )
        session.flush()
        for user in (1, 2):
            session.add_all(
                [
                    PageView(session_id="s", user_id=user, page_url="/"),
                    Notification(user_id=user, type="t", title="T", message="M"),
                    UserInteraction(user_id=user, product_id=1, interaction_type="view"),
                    UserPreference(user_id=user),
                ]
            )
    return shop


def _owners(shop: Shop) -> dict[str, list[int | None]]:
    with shop.connect() as connection:
        return {table: [row[0] for row in connection.execute(query)] for table, query in _MARKS.items()}  # type: ignore[call-overload]


@pytest.mark.parametrize("rolled_back", [False, True])
def test_references_go_or_are_cleared_as_the_keys_say(divided: Shop, rolled_back: bool) -> None:
    with psycopg.connect(divided.database_url) as connection:
        connection.execute("DELETE FROM users_db.users WHERE id = 1")
        if rolled_back:
            connection.rollback()
    both = [1, 2]
    kept = {
        "analytics_db.page_views": both if rolled_back else [None, 2],
        "notifications_db.notifications": both if rolled_back else [2],
        "recommendations_db.user_interactions": both if rolled_back else [None, 2],
        "recommendations_db.user_preferences": both if rolled_back else [2],
    }
    with in_process.working():
        until(lambda: _owners(divided) == kept, 20)


def test_a_closed_account_keeps_its_rows(divided: Shop) -> None:
    from uuid import uuid4

    from recsys import clock
    from recsys.events.envelope import Envelope
    from recsys.events.vocabulary import UserDeactivated
    from recsys.privacy.deleted_users import drop_references_of_deleted

    with unit_of_work() as session:
        drop_references_of_deleted(session, Envelope(uuid4(), clock.now(), UserDeactivated(user_id=1)))
    assert set(_owners(divided)["recommendations_db.user_preferences"]) == {1, 2}


def test_every_reference_to_a_user_is_one_column() -> None:
    """The handler takes each key apart as one column, and clears or deletes."""
    keys = [
        key
        for table in metadata.sorted_tables
        if server_of(table.fullname) is not None
        for key in table.foreign_key_constraints
        if key.referred_table is User.__table__
    ]
    assert len(keys) > 10
    for key in keys:
        assert len(key.columns) == 1
        assert key.ondelete in ("CASCADE", "SET NULL")
