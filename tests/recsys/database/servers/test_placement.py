"""Which server a statement goes to, and that the tables of a server need no other."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Executable, delete, exists, func, insert, select, text, update

from recsys.database.metadata import metadata
from recsys.database.servers.placement import SERVER_NAMES, is_on, server_of, server_of_statement
from recsys.domains.analytics.tables import PageView, UserEvent
from recsys.domains.users.tables import User


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_tables_of_a_server_refer_to_it_and_to_the_shops_alone(table: str) -> None:
    for key in metadata.tables[table].foreign_keys:
        assert server_of(key.column.table.fullname) in (server_of(table), None)


@pytest.mark.parametrize("name", SERVER_NAMES)
def test_each_server_has_tables_and_each_documented_schema_is_whole(name: str) -> None:
    documented = {
        "analytics": {"page_views", "user_events", "sales_metrics", "product_metrics", "user_sessions"},
        "notifications": {
            "notifications",
            "notification_templates",
            "notification_preferences",
            "email_logs",
            "sms_logs",
        },
        "recommendations": {
            "user_preferences",
            "user_interactions",
            "product_recommendations",
            "recommendation_models",
        },
    }
    server: Any = name
    assert {f"{name}_db.{each}" for each in documented[name]} <= set(is_on(server, metadata.tables))


@pytest.mark.parametrize(
    "statement",
    [
        select(PageView),
        select(func.count()).where(PageView.user_id == 3),
        select(func.count()).select_from(select(PageView.id).subquery()),
        update(PageView).values(user_id=None),
        delete(UserEvent).where(exists().where(PageView.id == UserEvent.id)),
        insert(UserEvent),
        text("SELECT nextval('analytics_db.page_views_id_seq')"),
        text("WITH a AS (SELECT 1) DELETE FROM analytics_db.page_views"),
    ],
)
def test_a_statement_goes_where_its_tables_are(statement: Executable) -> None:
    assert server_of_statement(statement, None) == "analytics"


@pytest.mark.parametrize(
    "statement",
    [
        select(User),
        text("SELECT 1"),
        text("DELETE FROM analytics_db.outbox"),
        text("SELECT nextval('analytics_db.outbox_id_seq')"),
    ],
)
def test_all_others_go_to_the_shops(statement: Executable) -> None:
    assert server_of_statement(statement, None) is None


@pytest.mark.parametrize(
    "statement",
    [
        select(User.id).join(PageView, PageView.user_id == User.id),
        select(User).where(exists().where(PageView.user_id == User.id)),
        text("SELECT FROM analytics_db.page_views, notifications_db.email_logs"),
    ],
)
def test_no_server_can_answer_for_several(statement: Executable) -> None:
    with pytest.raises(RuntimeError, match="several servers"):
        server_of_statement(statement, None)
