"""What users say they like: read and replaced by themselves only, never overwritten by guesses."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from sqlalchemy import text

from features.build.builder import build
from features.preference_job import write_preferences
from recsys.database.session import unit_of_work
from tests.recsys.domains.users.conftest import Desk, Person
from tests.support.database_rows import Event, Rows

PATH = "/recommendations/preferences"
NOTHING: dict[str, Any] = {
    "categories": {}, "brands": {}, "colors": {}, "sizes": {}, "styles": {}, "price_range": None,
}  # fmt: skip


@pytest.fixture
def ada(desk: Desk) -> Person:
    """A user of a shop of two products, who bought both."""
    person = desk.person("ada")
    rows = Rows(desk.shop.database_url)
    rows.categories((1, "Food", None), (2, "Fresh Fruit", 1), (3, "Toys", None))
    rows.brands((1, "Sweet"), (2, "Plain"))
    rows.product(10, "Apple", category_id=2, brand_id=1, price=2, tags=["crisp"])
    rows.product(11, "Ball", category_id=3, brand_id=2, price=10, tags=["round"])
    rows.events(Event(person.id, 10, "purchase"), Event(person.id, 11, "purchase"))
    return person


def guess(desk: Desk) -> None:
    """Run the preferences job."""
    write_preferences(desk.shop.settings, build(desk.shop.settings))


def put(desk: Desk, who: Person, status: int = 200, **wanted: object) -> Any:
    return desk.call(who, "PUT", PATH, json=wanted, status=status).json()


def published(desk: Desk) -> int:
    return len(desk.rows("SELECT 1 FROM analytics_db.outbox WHERE name = 'user.preferences_changed'"))


def test_explicit_preferences_are_kept_and_win_over_inferred_ones(desk: Desk, ada: Person) -> None:
    nobody_asked = desk.call(ada, "GET", PATH).json()
    assert nobody_asked == {
        "explicit": NOTHING,
        "inferred": NOTHING,
        "updated_at": None,
    }
    guess(desk)
    guessed = desk.call(ada, "GET", PATH).json()
    assert guessed["explicit"] == NOTHING
    assert set(guessed["inferred"]["categories"]) == {"Food > Fresh Fruit", "Toys"}
    assert guessed["inferred"]["price_range"] == {"min": "2.00", "max": "10.00"}

    # the slug and the path are the same category: the guess about it goes at once, the others stay
    explicit = put(
        desk, ada, categories={"fresh-fruit": -1, "Food": 0.5}, sizes={" XL ": 1}, price_range={"max": "9.5"}
    )
    assert explicit["explicit"] == NOTHING | {
        "categories": {"fresh-fruit": -1.0, "Food": 0.5},
        "sizes": {"XL": 1.0},
        "price_range": {"min": None, "max": "9.50"},
    }
    assert set(explicit["inferred"]["categories"]) == {"Toys"}
    assert explicit["inferred"]["brands"] == guessed["inferred"]["brands"]
    assert explicit["inferred"]["price_range"] is None
    assert published(desk) == 1
    assert desk.call(ada, "GET", PATH).json() == explicit

    guess(desk)
    assert desk.call(ada, "GET", PATH).json() == explicit
    dataset = build(desk.shop.settings)
    row = dataset.users.ids.tolist().index(ada.id)
    assert dataset.preferences.categories[row].sum() == -0.5
    assert dataset.preferences.price[row].tolist()[1] == 9.5

    # what is taken back is guessed again
    back = put(desk, ada)
    assert back["explicit"] == NOTHING
    assert set(back["inferred"]["categories"]) == {"Toys"}
    assert published(desk) == 2
    guess(desk)
    assert desk.call(ada, "GET", PATH).json()["inferred"] == guessed["inferred"]


def test_the_same_again_changes_nothing(desk: Desk, ada: Person) -> None:
    first = put(desk, ada, brands={"Sweet": 1}, price_range={"min": 1, "max": 2})
    again = put(desk, ada, brands={"Sweet": 1}, price_range={"min": "1.00", "max": "2.00"})
    assert again == first
    assert published(desk) == 1
    stored = desk.rows(
        "SELECT brand_preferences, price_range, category_preferences FROM recommendations_db.user_preferences"
    )
    assert stored == [({"Sweet": 1.0}, {"min": "1.00", "max": "2.00"}, {})]


WRONG: list[tuple[dict[str, object], str]] = [
    ({"categories": {"Shoes": 1}}, "categories: the shop has no 'Shoes'"),
    ({"brands": {"7": 1}}, "brands: the shop has no '7'"),
    ({"categories": {"Toys": 1, "3": 1}}, "'Toys' and '3' are the same"),
    ({"colors": {"Red": 1, "red": 0}}, "'Red' and 'red' are the same"),
    ({"colors": {"red": 1.5}}, "colors.red"),
    ({"colors": {"red": "1"}}, "colors.red"),
    ({"colors": {"a\x00": 1}}, "colors"),
    ({"colors": {" ": 1}}, "colors"),
    ({"colors": ["red"]}, "colors"),
    ({"styles": {str(place): 1 for place in range(201)}}, "styles"),
    ({"price_range": {}}, "price_range"),
    ({"price_range": {"min": 3, "max": 2}}, "price_range"),
    ({"price_range": {"min": -1}}, "price_range.min"),
    ({"price_range": {"min": "0.001"}}, "price_range.min"),
    ({"mood": {}}, "mood"),
]


def test_what_is_wrong_is_refused_whole(desk: Desk, ada: Person) -> None:
    explicit = put(desk, ada, colors={"blue": 1})
    for wanted, reason in WRONG:
        assert reason in json.dumps(put(desk, ada, status=422, **wanted)), wanted
    assert desk.call(ada, "GET", PATH).json() == explicit


def test_other_spellings_of_imported_rows_are_read(desk: Desk, ada: Person) -> None:
    with desk.shop.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.user_preferences (user_id, category_preferences, "
            "brand_preferences, color_preferences, size_preferences, style_preferences, price_range) VALUES "
            """(%s, '["Toys", "Gone"]', '{"1": {"affinity": 2, "source": "explicit"}, "2": null}', 'null', """
            """'[42]', '{"crisp": "0.5", "bad": "x", "worse": 1e999}', '[9, 1.005]')""",
            (ada.id,),
        )
    seen = desk.call(ada, "GET", PATH).json()["explicit"]
    assert seen == {
        "categories": {"Toys": 1.0, "Gone": 1.0},
        "brands": {"1": 2.0},
        "colors": {},
        "sizes": {"42": 1.0},
        "styles": {"crisp": 0.5},
        "price_range": {"min": "1.01", "max": "9.00"},
    }
    # a stored name stays valid for its user after the shop has deleted it
    assert put(desk, ada, categories={"Gone": 1, "Toys": 0})["explicit"]["categories"] == {
        "Gone": 1,
        "Toys": 0,
    }


def test_nobody_reads_or_changes_anothers(desk: Desk, ada: Person) -> None:
    put(desk, ada, colors={"red": 1})
    bob = desk.person("bob")
    assert desk.call(bob, "GET", PATH).json()["explicit"] == NOTHING
    put(desk, bob, colors={"green": 1})
    assert desk.call(ada, "GET", PATH).json()["explicit"]["colors"] == {"red": 1.0}
    desk.call(None, "GET", PATH, status=401)
    desk.call(None, "PUT", PATH, json={}, status=401)


def test_preferences_sent_while_the_job_writes_wait_and_are_kept(desk: Desk, ada: Person) -> None:
    guess(desk)
    answers: list[Any] = []
    with unit_of_work() as session:
        # what the job does: the lock, then guesses into the row
        session.execute(text("LOCK TABLE recommendations_db.user_preferences IN SHARE ROW EXCLUSIVE MODE"))
        sender = threading.Thread(target=lambda: answers.append(put(desk, ada, colors={"red": 1})))
        sender.start()
        sender.join(0.3)
        assert sender.is_alive()
        session.execute(
            text(
                "UPDATE recommendations_db.user_preferences SET color_preferences = "
                """'{"red": {"affinity": 0.4, "source": "inferred"},
                     "blue": {"affinity": 0.6, "source": "inferred"}}'"""
            )
        )
    sender.join(10)
    assert answers[0]["explicit"]["colors"] == {"red": 1.0}
    assert answers[0]["inferred"]["colors"] == {"blue": 0.6}
