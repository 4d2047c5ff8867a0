"""`build` on real PostgreSQL: known answers, nothing from the future, one consistent state."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from features.build import column_reader
from features.build.builder import as_microseconds, build, build_reported
from features.build.column_reader import open_snapshot
from features.build.product_reader import read_catalogue
from recsys.errors import Invalid
from recsys.settings import FeatureSettings
from tests.support.database_rows import DAY, NOON, Event, Rows, cell, log_of
from tests.support.shop import Shop


@pytest.fixture
def rows(shop: Shop) -> Rows:
    found = Rows(shop.database_url)
    found.users(1, 2, 3)
    found.categories((1, "Food", None), (2, "Fresh Fruit", 1), (3, "Toys", None))
    found.brands((1, "Ümlaut"), (2, "Plain"))
    found.product(
        10,
        "Apple",
        category_id=2,
        brand_id=1,
        price="1.25",
        tags=["red", "round"],
        short_description="short",
        description="long",
        created_at=NOON - 100 * DAY,
    )
    found.product(11, "Ball", category_id=3, status="draft", created_at=NOON + DAY)
    found.product(12, "Plain thing", created_at=NOON - DAY)
    return found


def test_weights_decay_and_moment_by_hand(shop: Shop, rows: Rows) -> None:
    rows.events(
        Event(1, 10, "purchase", NOON - 90 * DAY),
        Event(1, 10, "view", NOON),
        Event(2, 10, "review", NOON - 45 * DAY, value=4),
        Event(2, 12, "review", NOON, value=1),
    )
    dataset = build(shop.settings)
    assert dataset.moment == as_microseconds(NOON)  # a log of 2017: nothing counts from the wall clock
    assert cell(dataset, 1, 10) == pytest.approx(5 / 2 + 1)
    assert cell(dataset, 2, 10) == pytest.approx(4 * 0.5 * 0.5**0.5)
    assert cell(dataset, 2, 12) == 0.0
    assert dataset.touched.nnz == 3
    later = build(shop.settings, until=NOON + 90 * DAY)
    assert later.moment == as_microseconds(NOON + 90 * DAY)
    assert cell(later, 1, 10) == pytest.approx((5 / 2 + 1) / 2)


def test_configured_weights_reach_the_matrix_and_the_fingerprint(shop: Shop, rows: Rows) -> None:
    rows.events(Event(1, 10, "view", NOON - DAY), Event(1, 12, "view"))
    usual = build(shop.settings)
    own = shop.settings.model_copy(
        update={"features": FeatureSettings(weights={"view": 8.0}, half_life_days=1.0)}
    )
    dataset = build(own)
    assert cell(dataset, 1, 10) == 4.0
    assert dataset.fingerprint != usual.fingerprint
    wrong = shop.settings.model_copy(update={"features": FeatureSettings(weights={"veiw": 8.0})})
    with pytest.raises(Invalid, match="'veiw'; known are view"):
        build(wrong)


def test_items_texts_and_categories(shop: Shop, rows: Rows) -> None:
    rows.events(Event(1, 99, "purchase", NOON), Event(1, 99, "view", NOON - DAY))
    dataset = build(shop.settings)
    features = dataset.item_features
    assert dataset.items.ids.tolist() == [10, 11, 12, 99]
    assert features.names == ["Apple", "Ball", "Plain thing", "product 99"]
    assert features.text == [
        "Apple red round short long Food Fresh Fruit",
        "Ball Toys",
        "Plain thing",
        "",
    ]
    assert [features.category_paths[i] if i >= 0 else None for i in features.category] == [
        "Food > Fresh Fruit",
        "Toys",
        None,
        None,
    ]
    assert [features.brand_names[i] if i >= 0 else None for i in features.brand] == [
        "Ümlaut",
        None,
        None,
        None,
    ]
    np.testing.assert_array_equal(features.price, np.array([1.25, 1, 1, math.nan], np.float32))
    assert features.active.tolist() == [True, False, True, False]
    assert features.created[3] == as_microseconds(NOON - DAY)


def test_stock_colours_sizes_and_styles(shop: Shop, rows: Rows) -> None:
    rows.events(Event(1, 99, "purchase", NOON - 9 * DAY))
    rows.product(13, "Shirt", tags=["Casual", " casual", ""], track_inventory=False, created_at=NOON)
    rows.product(14, "Hat", created_at=NOON)
    rows.many(
        "INSERT INTO products_db.product_variants "
        "(product_id, inventory_quantity, inventory_policy, option1, option2) VALUES (%s, %s, %s, %s, %s)",
        [
            (10, 3, "deny", "Red", "1 kg"),
            (10, -2, "deny", "Green", None),
            (11, 0, "continue", None, None),
            (12, 0, "deny", None, None),
            (13, 0, "deny", "Dark  Blue", "XL"),
            (None, 5, "deny", "Pink", "S"),
        ],
    )
    features = build(shop.settings).item_features
    inf, nan = math.inf, math.nan
    np.testing.assert_array_equal(features.stock, np.array([3, inf, 0, inf, nan, nan], np.float32))
    assert features.colours.words == ["dark blue", "green", "red"]
    assert features.colours.matrix.toarray()[[0, 3]].tolist() == [[0, 1, 1], [1, 0, 0]]
    assert (features.sizes.words, features.sizes.matrix.nnz) == (["1 kg", "xl"], 2)
    assert features.styles.words == ["casual", "red", "round"]
    # a word of a product that was not there yet leaves no trace
    earlier = build(shop.settings, until=NOON - DAY).item_features
    assert earlier.styles.words == ["red", "round"]
    assert earlier.colours.words == ["green", "red"]


def test_demographics_as_of_then(shop: Shop, rows: Rows) -> None:
    rows.events(Event(1, 10, "view", NOON - 9 * DAY), Event(2, 10, "view", NOON - 9 * DAY))
    rows.many(
        "INSERT INTO users_db.user_profiles (user_id, gender, date_of_birth, preferences, created_at) "
        "VALUES (%s, %s, %s, %s::jsonb, %s)",
        [
            (1, " F", "1985-04-01", '{"household": {"age": "35-44", "kids": 2}, "list": [1]}', NOON - DAY),
            (2, None, None, '{"age": "25-34"}', NOON),
            (3, "M", None, None, NOON),  # did nothing: no user of the dataset
        ],
    )
    dataset = build(shop.settings)
    found = dataset.demographics
    assert found.words.words == ["age: 25-34", "age: 35-44", "born: 1980s", "gender: f", "kids: 2"]
    assert found.words.matrix.toarray().tolist() == [[0, 1, 1, 1, 1], [1, 0, 0, 0, 0]]
    assert found.updated.tolist() == [as_microseconds(NOON - DAY), as_microseconds(NOON)]
    then = NOON - DAY / 2
    assert dataset.until(as_microseconds(then)).fingerprint == build(shop.settings, until=then).fingerprint
    assert dataset.until(as_microseconds(then)).demographics.words.words[0] == "age: 35-44"
    assert dataset.until(as_microseconds(NOON - 2 * DAY)).demographics.words.words == []


def test_guests_unknown_words_and_undated_rows(shop: Shop, rows: Rows) -> None:
    rows.events(
        Event(None, 10, "view", NOON, session="abc"),
        Event(None, 10, "view", NOON, session="abd"),
        Event(None, 10, "view", NOON),
        Event(1, 10, "teleport", NOON - DAY, value="NaN"),
        Event(1, 12, "view", None),
        Event(1, 12, "view", "infinity"),
        Event(1, 12, "view", "-infinity"),
        Event(2, 10, "purchase", datetime(1969, 12, 31, 23, tzinfo=UTC), value="-3.5"),
    )
    built = build_reported(shop.settings)
    dataset = built.dataset
    assert (built.guests, built.unknown_types, built.undated) == (3, 1, 3)
    noon = as_microseconds(NOON)
    assert log_of(dataset) == [
        (2, 10, "purchase", -3.5, -3_600_000_000),
        (1, 10, None, None, noon - 86_400_000_000),
        (None, 10, "view", None, noon),
        (None, 10, "view", None, noon),
        (None, 10, "view", None, noon),
    ]
    assert len(set(dataset.events.session.tolist())) == 3  # none, abc and abd
    assert 0 in dataset.events.session.tolist()
    assert dataset.users.ids.tolist() == [1, 2]
    assert dataset.moment == noon


def test_nothing_after_until_gets_in(shop: Shop, rows: Rows) -> None:
    rows.events(Event(1, 10, "view", NOON - DAY), Event(2, 12, "view", NOON))
    rows.preferences(2, categories={"Food": 1}, updated=NOON)
    before = build(shop.settings, until=NOON)
    # everything that comes later: an event, a user, a product, a category, a preference
    rows.events(Event(1, 10, "view", NOON + DAY / 86_400_000_000), Event(3, 77, "view", NOON + DAY))
    rows.categories((4, "Aardvarks", None))
    rows.product(13, "Later", category_id=4, created_at=NOON + DAY / 86_400_000_000)
    rows.preferences(3, categories={"Toys": 1}, updated=NOON + DAY)
    rows.preferences(1, categories={"Toys": 1}, updated=None, created=NOON + DAY)
    after = build(shop.settings, until=NOON)
    assert after.fingerprint == before.fingerprint
    assert after.users.ids.tolist() == [1, 2]
    assert after.items.ids.tolist() == [10, 12]
    everything = build(shop.settings)
    assert everything.items.ids.tolist() == [10, 11, 12, 13, 77]
    assert everything.users.ids.tolist() == [1, 2, 3]
    then = everything.until(as_microseconds(NOON))
    assert replace(then, target=before.target).fingerprint == before.fingerprint  # the target stays
    # a product listed later that was touched before is known by then
    rows.events(Event(1, 11, "view", NOON))
    assert 11 in build(shop.settings, until=NOON).items


def test_the_order_of_rows_and_ids_does_not_matter(shop: Shop, rows: Rows) -> None:
    chance = random.Random(7)
    kinds = ["view", "purchase", "review", "odd"]
    events = [
        Event(
            chance.choice([1, 2, None]),
            chance.choice([10, 12, 50]),
            chance.choice(kinds),
            NOON + chance.randrange(3) * DAY,
            value=chance.choice([None, 1, 5]),
            session=chance.choice([None, "a", "b"]),
        )
        for _ in range(200)
    ]
    prints = set()
    for _ in range(3):
        rows.execute("TRUNCATE recommendations_db.user_interactions CASCADE")
        chance.shuffle(events)
        rows.events(*events)
        prints.add(build(shop.settings).fingerprint)
    assert len(prints) == 1


def test_preferences_in_all_shapes(shop: Shop, rows: Rows) -> None:
    rows.users(4, 5)
    rows.events(Event(1, 10, "view"))
    rows.preferences(1, {"2": 0.5, "Toys": 2}, ["Plain"], {"min": 1, "max": "9.5"})
    rows.preferences(2, ["Food > Fresh Fruit", "Nowhere"], {"ümlaut": -1}, [3, 2])
    rows.preferences(4, "Food", {"Plain": {"very": "much"}}, "cheap")
    rows.preferences(5, None, None, None, updated=None, created=None)
    rows.preferences(None, {"Food": 1})
    built = build_reported(shop.settings)
    dataset, preferences = built.dataset, built.dataset.preferences
    assert dataset.users.ids.tolist() == [1, 2, 4, 5]
    assert dataset.item_features.category_paths == ["Food > Fresh Fruit", "Toys"]
    assert preferences.categories.toarray().tolist() == [[0.5, 2], [1, 0], [0, 0], [0, 0]]
    assert dataset.item_features.brand_names == ["Plain", "Ümlaut"]
    assert preferences.brands.toarray().tolist() == [[1, 0], [0, -1], [0, 0], [0, 0]]
    np.testing.assert_array_equal(
        preferences.price, np.array([[1, 9.5], [2, 3], [math.nan] * 2, [math.nan] * 2], np.float32)
    )
    assert built.preferences == {"read": 4, "malformed": 3, "unknown": 1, "inferred": 0}
    assert preferences.updated.tolist() == [as_microseconds(NOON)] * 3 + [column_reader.UNDATED]


def test_colours_sizes_and_styles_that_users_stated(shop: Shop, rows: Rows) -> None:
    rows.events(Event(1, 10, "view", NOON - 3 * DAY))
    rows.many(
        "INSERT INTO products_db.product_variants (product_id, option1, option2) VALUES (%s, %s, %s)",
        [(10, "Red", "XL"), (12, "Blue", "42")],
    )
    rows.preferences(
        1,
        colours={"RED": 1, "pink": -0.5},
        sizes=[42],
        styles={"round": {"affinity": 2, "source": "explicit"}},
    )
    rows.preferences(2, colours=["Blue"], updated=NOON - 2 * DAY)
    rows.preferences(3, colours={"red": {"affinity": 0.4, "source": "inferred"}})
    built = build_reported(shop.settings)
    preferences = built.dataset.preferences
    assert built.dataset.users.ids.tolist() == [1, 2]  # the preferences of user 3 are inferred, not stated
    assert preferences.colours.words == ["blue", "pink", "red"]
    assert preferences.colours.matrix.toarray().tolist() == [[0, -0.5, 1], [1, 0, 0]]
    assert (preferences.sizes.words, preferences.sizes.matrix.toarray().tolist()) == (["42"], [[1], [0]])
    assert (preferences.styles.words, preferences.styles.matrix.toarray().tolist()) == (["round"], [[2], [0]])
    assert built.preferences == {"read": 2, "malformed": 0, "unknown": 1, "inferred": 0}  # nothing is pink
    then = NOON - DAY
    earlier = built.dataset.until(as_microseconds(then))
    assert earlier.preferences.colours.words == ["blue"]
    assert earlier.fingerprint == build(shop.settings, until=then).fingerprint


def test_a_write_during_the_build_does_not_mix_two_states(
    shop: Shop, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.events(Event(1, 10, "view"))
    before = build(shop.settings)

    def note(what: str, _done: int, _total: int) -> None:
        if what == "Reading products":  # read already; the interactions come afterwards
            rows.events(Event(2, 12, "view", NOON + DAY))
            rows.preferences(3, {"Toys": 1})

    during = build_reported(shop.settings, progress=note).dataset
    assert during.fingerprint == before.fingerprint
    assert build(shop.settings).fingerprint != before.fingerprint


def test_a_category_tree_in_a_circle_does_not_hang(shop: Shop, rows: Rows) -> None:
    rows.execute("UPDATE products_db.categories SET parent_id = 2 WHERE id = 1")
    rows.execute("UPDATE products_db.categories SET parent_id = 3 WHERE id = 3")
    with open_snapshot(shop.database_url) as snapshot:
        assert read_catalogue(snapshot).categories.words == [
            "Food > Fresh Fruit",
            "Fresh Fruit > Food",
            "Toys",
        ]


def test_nothing_to_learn_from_is_reported(shop: Shop, rows: Rows) -> None:
    with pytest.raises(Invalid, match="no interactions to learn from; `recsys import`"):
        build(shop.settings)
    rows.events(Event(1, 10, "view", None))
    with pytest.raises(Invalid, match="1 have no time"):
        build(shop.settings)
    rows.events(Event(1, 10, "view", NOON))
    with pytest.raises(Invalid, match=r"up to 2017-05-31.*; the oldest is of 2017-06-01"):
        build(shop.settings, until=NOON - DAY)
    assert not (shop.var / "datasets" / "current.json").exists()


def test_a_table_of_many_ranges_and_a_partitioned_one(
    shop: Shop, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at) "
            "SELECT 1 + i % 3, i, 'view', timestamptz '2017-01-01 00:00+00' + i * interval '1 s' "
            "FROM generate_series(1, 3000) i"
        )
    whole = build(shop.settings)
    monkeypatch.setattr(column_reader, "PAGES_PER_READ", 2)
    assert build(shop.settings, incremental=False).fingerprint == whole.fingerprint
    assert [row[1] for row in log_of(whole)] == list(range(1, 3001))
    rows.execute("ALTER TABLE recommendations_db.user_interactions RENAME TO before")
    rows.execute(
        "CREATE TABLE recommendations_db.user_interactions (LIKE recommendations_db.before) "
        "PARTITION BY HASH (id)"
    )
    for part in range(2):
        rows.execute(
            f"CREATE TABLE recommendations_db.part_{part} PARTITION OF recommendations_db.user_interactions "
            f"FOR VALUES WITH (MODULUS 2, REMAINDER {part})"
        )
    rows.execute("INSERT INTO recommendations_db.user_interactions SELECT * FROM recommendations_db.before")
    assert build(shop.settings).fingerprint == whole.fingerprint
