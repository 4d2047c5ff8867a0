"""Users whom rows of other servers refer to stay while these are written."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from recsys.database.servers.references import lock_users
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.tables import UserInteraction
from recsys.domains.users.tables import User
from tests.support.shop import Shop
from tests.support.waiting import until

_WAITING = (
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM users%%'"
)


@pytest.fixture(params=["one server", "several servers"])
def people(request: pytest.FixtureRequest, shop: Shop) -> Shop:
    """Users 1 to 3; 2 is closed."""
    if request.param == "several servers":
        request.getfixturevalue("other_servers")
    with unit_of_work() as session:
        session.add_all(
            User(
                id=i,
                email=f"{i}@b.example",
                username=f"u{i}",
                full_name="",
                password_hash="!",
                is_active=i != 2,
            )
            for i in (1, 2, 3)
        )
    return shop


def test_those_who_are_there(people: Shop) -> None:
    with unit_of_work() as session:
        assert lock_users(session, [3, 2, 9, 3]) == {2, 3}
        assert lock_users(session, [1, 2, 9], active=True) == {1}
        assert lock_users(session, []) == set()


def test_nobody_deletes_them_before_the_reference_is_there(people: Shop) -> None:
    def delete() -> None:
        with unit_of_work() as session:
            session.execute(text("DELETE FROM users_db.users WHERE id = 1"))

    deleting = threading.Thread(target=delete)
    with unit_of_work() as session:
        assert lock_users(session, [1]) == {1}
        deleting.start()
        with people.connect(autocommit=True) as connection:
            until(lambda: connection.execute(_WAITING).fetchall() != [])
        session.add(UserInteraction(user_id=1, product_id=1, interaction_type="view"))
    deleting.join(30)
    with unit_of_work() as session:
        assert lock_users(session, [1]) == set()
