"""The preferences job on real PostgreSQL: stated preferences stay and win, the rest follows behaviour."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from features.build.builder import as_microseconds, build, build_reported
from features.preference_job import PreferenceJobCounts, write_preferences
from features.preference_parsing import is_inferred
from recsys import clock
from tests.support.database_rows import DAY, NOON, Event, Rows
from tests.support.shop import Shop

NOW = datetime(2026, 3, 1, tzinfo=UTC)
COLUMNS = ("category", "brand", "color", "size", "style")


@pytest.fixture
def rows(shop: Shop) -> Rows:
    found = Rows(shop.database_url)
    found.users(1, 2, 3, 4)
    found.categories((1, "Food", None), (2, "Fresh Fruit", 1), (3, "Toys", None))
    found.brands((1, "Ümlaut"), (2, "Plain"))
    found.product(10, "Apple", category_id=2, brand_id=1, price=2, tags=["Crisp", "local"], created_at=NOON)
    found.product(11, "Ball", category_id=3, brand_id=2, price=10, created_at=NOON)
    found.many(
        "INSERT INTO products_db.product_variants (product_id, option1, option2) VALUES (%s, %s, %s)",
        [(10, "Red", "1 kg"), (11, "Sky Blue", "XL"), (11, "Red", "L")],
    )
    found.events(Event(1, 10, "purchase"), Event(1, 11, "purchase"), Event(2, 11, "purchase"))
    return found


def _run(shop: Shop, at: datetime = NOW) -> PreferenceJobCounts:
    with clock.frozen_at(at):
        return write_preferences(shop.settings, build(shop.settings))


def _stored(shop: Shop) -> dict[int, dict[str, Any]]:
    names = ", ".join([*(f"{name}_preferences" for name in COLUMNS), "price_range", "updated_at"])
    with shop.connect() as connection:
        asked = f"SELECT user_id, {names} FROM recommendations_db.user_preferences ORDER BY user_id"  # noqa: S608
        found = connection.execute(asked.encode()).fetchall()
    return {row[0]: dict(zip((*COLUMNS, "price", "updated"), row[1:], strict=True)) for row in found}


def _inferred(**shares: float) -> dict[str, Any]:
    return {word: {"affinity": share, "source": "inferred"} for word, share in shares.items()}


def test_all_documented_columns_are_filled_and_a_second_run_changes_nothing(shop: Shop, rows: Rows) -> None:
    assert _run(shop) == PreferenceJobCounts(
        users=2, added=2, changed=0, unchanged=0, cleared=0, explicit_wins=0
    )
    found = _stored(shop)
    # user 1: 5 of 10 each; the shop: a third of fruit; a prior of 10
    fruit, toys = round((5 + 10 / 3) / 20, 4), round((5 + 20 / 3) / 20, 4)
    assert found[1]["category"] == _inferred(**{"Food > Fresh Fruit": fruit, "Toys": toys})
    assert found[1]["brand"] == _inferred(Ümlaut=fruit, Plain=toys)
    assert set(found[1]["color"]) == {"red", "sky blue"}
    assert set(found[1]["size"]) == {"1 kg", "l", "xl"}
    assert found[1]["style"] == _inferred(crisp=0.5, local=0.5)
    assert found[2]["style"] == {}
    assert found[1]["price"] == {"min": 2.0, "max": 10.0, "source": "inferred"}
    assert found[1]["updated"] == NOW
    assert _run(shop, NOW + DAY) == PreferenceJobCounts(2, 0, 0, 2, 0, 0)
    assert _stored(shop) == found


def test_stated_preferences_stay_and_win(shop: Shop, rows: Rows) -> None:
    stated = {
        1: ({"fresh-fruit": -1, "Nowhere": 2, "Toys": {"affinity": 1, "source": "explicit"}}, {"min": 3}),
        2: (["Food"], [1, 2]),
        3: ({"Toys": None}, None),
    }
    for user, (categories, price) in stated.items():
        rows.preferences(user, categories=categories, brands={"2": 0}, price=price)
    rows.events(Event(3, 11, "purchase"))
    before = build(shop.settings)
    done = _run(shop)
    # user 1 spoke of both categories and all of one brand, user 3 of toys and that brand
    assert (done.added, done.changed, done.explicit_wins) == (0, 3, 6)
    found = _stored(shop)
    assert found[1]["category"] == stated[1][0]
    assert found[2]["category"] == stated[2][0]
    assert found[3]["category"] == stated[3][0]
    assert [found[user]["price"] for user in (1, 2)] == [{"min": 3}, [1, 2]]
    assert found[3]["price"]["source"] == "inferred"
    assert found[1]["brand"].keys() == {"2", "Ümlaut"}
    assert found[3]["brand"] == {"2": 0}
    assert {found[user]["updated"] for user in found} == {NOON}  # the time of the user's word
    # models learn from the stated preferences, with their time, not from what the job wrote beside them
    after = build_reported(shop.settings)
    assert after.dataset.fingerprint == before.fingerprint
    facets = ("category", "brand", "color", "size", "style")
    guessed = [
        is_inferred(entry) for row in found.values() for name in facets for entry in _entries(row[name])
    ]
    assert after.preferences["inferred"] == sum(guessed) > 1
    assert build(shop.settings, until=NOON).preferences.updated.tolist() == [as_microseconds(NOON)] * 3


def test_inferences_follow_behaviour_and_go_with_it(shop: Shop, rows: Rows) -> None:
    _run(shop)
    with shop.connect() as connection:  # the user speaks, the way a shop would write it
        connection.execute(
            "UPDATE recommendations_db.user_preferences SET updated_at = %s, "
            "category_preferences = category_preferences || '{\"Toys\": 0.1}' WHERE user_id = 2",
            (NOON + DAY,),
        )
    rows.events(Event(4, 10, "purchase", NOON + DAY))
    rows.execute("DELETE FROM recommendations_db.user_interactions WHERE user_id = 1")
    done = _run(shop, NOW + DAY)
    assert (done.users, done.added, done.changed, done.cleared) == (2, 1, 1, 1)
    found = _stored(shop)
    assert [found[1][name] for name in (*COLUMNS, "price")] == [{}, {}, {}, {}, {}, None]
    assert found[2]["category"] == {"Toys": 0.1}
    assert found[2]["updated"] == NOON + DAY
    assert set(found[4]["category"]) == {"Food > Fresh Fruit"}
    assert _run(shop, NOW + 2 * DAY) == PreferenceJobCounts(2, 0, 0, 2, 0, 1)


def test_inferred_rows_are_nobodys_words_to_a_snapshot(shop: Shop, rows: Rows) -> None:
    before = build(shop.settings)
    _run(shop)
    after = build_reported(shop.settings, incremental=False)
    assert after.dataset.fingerprint == before.fingerprint
    assert after.preferences == {"read": 0, "malformed": 0, "unknown": 0, "inferred": 0}


def test_a_user_who_is_gone_is_left_out(shop: Shop, rows: Rows) -> None:
    dataset = build(shop.settings)
    rows.execute("DELETE FROM users_db.users WHERE id = 2")
    assert write_preferences(shop.settings, dataset).added == 1
    assert set(_stored(shop)) == {1}


def test_the_command(shop: Shop, rows: Rows) -> None:
    done = shop.run("features", "preferences", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["users"], summary["added"], summary["explicit_wins"]) == (2, 2, 0)
    assert summary["moment"] == "2017-06-01T12:00:00+00:00"
    again = shop.run("features", "preferences")
    assert again.returncode == 0, again.stderr
    assert "unchanged" in again.stdout


def _entries(column: Any) -> list[Any]:
    return list(column.values()) if isinstance(column, dict) else []
