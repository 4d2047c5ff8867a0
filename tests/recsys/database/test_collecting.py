"""What is collected is done once, in the transaction, and undone with it."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.database.after_commit import after_commit
from recsys.database.collecting import collect
from recsys.database.session import unit_of_work
from tests.support.shop import Shop

done: list[list[str]] = []
followed: list[int] = []


def store(session: Session, names: list[str]) -> None:
    done.append(names)
    for name in names:
        session.execute(
            text("INSERT INTO products_db.brands (name, slug) VALUES (:name, :name)"), {"name": name}
        )
    after_commit(session, lambda: followed.append(len(names)))
    if "wrong" in names:
        raise ValueError("wrong")


def brands() -> list[str]:
    with unit_of_work() as session:
        return list(session.scalars(text("SELECT name FROM products_db.brands ORDER BY name")))


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()
    followed.clear()


def test_all_items_of_a_transaction_are_done_together_before_it_ends(shop: Shop) -> None:
    with unit_of_work() as session:
        collect(session, store, "a")
        with session.begin_nested():
            collect(session, store, "b")
        assert done == [], "a savepoint is no end"
    assert (done, followed, brands()) == ([["a", "b"]], [2], ["a", "b"])


def test_what_fails_undoes_the_transaction(shop: Shop) -> None:
    def fail() -> None:
        with unit_of_work() as session:
            session.execute(text("INSERT INTO products_db.brands (name, slug) VALUES ('x', 'x')"))
            collect(session, store, "wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert (brands(), followed) == ([], [])
    with unit_of_work() as session:
        collect(session, store, "a")
    assert brands() == ["a"]
