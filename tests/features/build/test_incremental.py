"""Going on from the current snapshot gives exactly what a build from nothing gives."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from features.build.builder import Built, build, build_reported
from features.build.snapshots import current_record
from recsys.settings import FeatureSettings, Settings
from tests.support.database_rows import DAY, NOON, Event, Rows, log_of
from tests.support.shop import Shop

KINDS = ["view", "purchase", "review", "odd"]


@pytest.fixture
def rows(shop: Shop) -> Rows:
    found = Rows(shop.database_url)
    found.users(1, 2, 3)
    found.categories((1, "Food", None))
    found.product(10, "Apple", category_id=1, created_at=NOON - DAY)
    found.events(Event(1, 10, "view", NOON - 5 * DAY), Event(2, 11, "purchase", NOON, value=2))
    return found


def _both(settings: Settings) -> Built:
    """The incremental build, which must equal a build from nothing; the current snapshot is as before."""
    went_on = build_reported(settings)
    whole = build_reported(settings, incremental=False)
    assert whole.whole == "it was asked for"
    assert went_on.dataset.fingerprint == whole.dataset.fingerprint
    assert (went_on.undated, went_on.unknown_types, went_on.guests, went_on.cut) == (
        whole.undated,
        whole.unknown_types,
        whole.guests,
        whole.cut,
    )
    return went_on


def test_late_undated_and_out_of_order_events(shop: Shop, rows: Rows) -> None:
    settings = shop.settings.model_copy(
        update={"features": FeatureSettings(max_repeats_per_day=1, max_events_per_day=3)}
    )
    assert build_reported(settings).whole.startswith("no dataset was built yet")
    chance = random.Random(5)
    for _ in range(6):
        fresh = [
            Event(
                chance.choice([1, 2, 3, None]),
                chance.choice([10, 11, 12, 13]),
                chance.choice(KINDS),
                chance.choice([NOON + chance.randrange(-4, 4) * DAY / 3, None, "infinity"]),
                value=chance.choice([None, 1, 5]),
                session=chance.choice([None, "a", "b"]),
            )
            for _ in range(20)
        ]
        rows.events(*fresh)
        built = _both(settings)
        assert built.whole == ""
        assert built.new == sum(isinstance(event.at, datetime) for event in fresh)
    assert built.cut["repeated"] > 0
    assert built.cut["daily"] > 0
    assert built.undated > 0
    nothing_new = _both(settings)
    assert (nothing_new.new, nothing_new.whole) == (0, "")


def test_a_transaction_that_was_open_during_the_build(shop: Shop, rows: Rows) -> None:
    insert = (
        "INSERT INTO recommendations_db.user_interactions "
        "(user_id, product_id, interaction_type, created_at) VALUES (%s, 12, 'view', %s)"
    )
    with shop.connect() as slow, shop.connect() as slower:
        slow.execute(insert, (1, NOON - 9 * DAY))  # draws its id now, commits later
        slower.execute(insert, (3, NOON - 8 * DAY))
        rows.events(Event(2, 12, "view", NOON + DAY))
        build(shop.settings)
        slow.commit()
        rows.events(Event(2, 13, "view", NOON + DAY))
        first = _both(shop.settings)
        assert (first.new, first.whole) == (2, "")
        slower.commit()
        second = _both(shop.settings)
    assert (second.new, second.whole) == (1, "")
    assert [row[0] for row in log_of(second.dataset)] == [1, 3, 1, 2, 2, 2]


def test_a_savepoint_that_was_open_during_the_build_is_noticed(shop: Shop, rows: Rows) -> None:
    with shop.connect() as slow:
        slow.execute("SELECT pg_current_xact_id()")
        with slow.transaction():  # a transaction number of its own, which the server's snapshot does not list
            slow.execute(
                "INSERT INTO recommendations_db.user_interactions "
                "(user_id, product_id, interaction_type, created_at) VALUES (1, 12, 'view', %s)",
                (NOON,),
            )
        rows.events(Event(2, 12, "view", NOON + DAY))
        build(shop.settings)
        slow.commit()
    assert len(_both(shop.settings).dataset.events) == 4


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM recommendations_db.user_interactions WHERE product_id = 10",
        "DELETE FROM users_db.users WHERE id = 1",
        "UPDATE recommendations_db.user_interactions SET interaction_value = 7 WHERE product_id = 11",
        "UPDATE recommendations_db.user_interactions SET id = id + 1000",
        "WITH gone AS (DELETE FROM recommendations_db.user_interactions WHERE product_id = 10) "
        "INSERT INTO recommendations_db.user_interactions (product_id, interaction_type, session_id) "
        "VALUES (10, 'view', 's')",
    ],
)
def test_deleted_and_changed_events_are_noticed(shop: Shop, rows: Rows, change: str) -> None:
    build(shop.settings)
    rows.execute(change)
    rows.events(Event(3, 12, "view", NOON))
    built = _both(shop.settings)
    assert (built.new, built.whole) == (
        None,
        "interactions that the current snapshot holds were changed or deleted",
    )
    rows.events(Event(3, 12, "view", NOON))
    assert _both(shop.settings).new == 1


def test_the_catalogue_preferences_and_settings_may_change(shop: Shop, rows: Rows) -> None:
    build(shop.settings)
    rows.categories((2, "Aardvarks", None))
    rows.execute("UPDATE products_db.products SET category_id = 2, name = 'Pear', price = 9 WHERE id = 10")
    rows.product(12, created_at=NOON)
    rows.preferences(3, categories={"Food": 1})
    rows.execute("INSERT INTO users_db.user_profiles (user_id, gender) VALUES (1, 'F')")
    rows.execute("DELETE FROM products_db.products WHERE id = 11")
    built = _both(shop.settings)
    assert built.new == 0
    assert built.dataset.item_features.names == ["Pear", "product 11", "thing 12"]
    assert built.dataset.demographics.words.words == ["gender: f"]
    assert built.dataset.users.ids.tolist() == [1, 2, 3]
    other = shop.settings.model_copy(update={"features": FeatureSettings(weights={"view": 9.0})})
    assert _both(other).new == 0


def test_vacuum_and_cluster_change_nothing(shop: Shop, rows: Rows) -> None:
    rows.events(*(Event(1, 10, "view", NOON - i * DAY) for i in range(50)))
    build(shop.settings)
    table = "recommendations_db.user_interactions"
    with shop.connect(autocommit=True) as connection:
        connection.execute(f"VACUUM (FREEZE) {table}")
        connection.execute(f"CLUSTER {table} USING user_interactions_created_at_idx")
    rows.events(Event(2, 10, "view", NOON))
    built = _both(shop.settings)
    assert (built.new, built.whole) == (1, "")


def test_what_cannot_be_gone_on_from(shop: Shop, rows: Rows) -> None:
    build(shop.settings, until=NOON - DAY)
    assert "up to where" in build_reported(shop.settings).whole
    assert build_reported(shop.settings).new == 0
    assert "earlier moment" in build_reported(shop.settings, until=datetime(2018, 1, 1, tzinfo=UTC)).whole
    build(shop.settings)
    folder = shop.var / "datasets" / current_record(shop.settings)["folder"]
    file = folder / "event_time.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    assert "does not match its checksum" in build_reported(shop.settings).whole
    rows.execute("CREATE TABLE other (LIKE recommendations_db.user_interactions INCLUDING ALL)")
    rows.execute("INSERT INTO other SELECT * FROM recommendations_db.user_interactions")
    rows.execute("DROP TABLE recommendations_db.user_interactions CASCADE")
    rows.execute("ALTER TABLE other RENAME TO user_interactions")
    rows.execute("ALTER TABLE user_interactions SET SCHEMA recommendations_db")
    assert "another database" in build_reported(shop.settings).whole


def test_a_snapshot_of_an_older_format_is_rebuilt_and_the_reason_reported(
    shop: Shop, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.events(Event(1, 10, "view"))
    with monkeypatch.context() as older:
        older.setattr("features.dataset.FORMAT", 2)
        build(shop.settings)
    rows.events(Event(2, 10, "view"))
    built = build_reported(shop.settings)
    assert built.new is None
    assert "format 2; this version reads 4" in built.whole
    assert build_reported(shop.settings).new == 0
