"""A build on Spark gives the snapshot of a local build, to the bit, and of one state of the shop."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from psycopg import sql

from features.build import column_reader
from features.build.builder import build_reported
from features.build.column_reader import Snapshot
from features.build.consents import ConsentFilter
from features.build.interaction_reader import RawInteractions
from features.build.spark_reader import SparkInteractionReader
from features.dataset import Dataset
from features.interactions import InteractionWeights
from recsys.settings import FeatureSettings, Settings
from tests.support.database_rows import DAY, NOON, Event, Rows
from tests.support.shop import Shop

pytestmark = pytest.mark.spark
KINDS = ("view", "like", "add_to_cart", "purchase", "review", "dismissed", "teleport")


@pytest.fixture
def crowded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Some thousand events of few people on few days: ties, repeats, guests, refusals, what has no time."""
    monkeypatch.setattr(column_reader, "PAGES_PER_READ", 4)
    rows, chance = Rows(shop.database_url), random.Random(5)
    rows.users(*range(1, 13))
    rows.product(10, "Apple", created_at=NOON - 100 * DAY)
    rows.events(
        *(
            Event(
                chance.choice([None, *range(1, 13)]),
                chance.randrange(10, 30),
                chance.choice(KINDS),
                NOON - chance.randrange(4) * DAY,
                value=chance.choice([None, "1", "-0.0", "0", "4.5", "NaN"]),
                session=chance.choice([None, "a", "b", "refusing"]),
            )
            for _ in range(2500)
        ),
        Event(1, 12, "view", None),
        Event(1, 12, "view", "infinity"),
        Event(1, 12, "view", "-infinity"),
        Event(2, 10, "purchase", datetime(1969, 12, 31, 23, tzinfo=UTC), value="-3.5"),
        Event(3, 10, "purchase", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    )
    rows.many(
        "INSERT INTO users_db.consents (owner, personalisation, analytics, changed_at) "
        "VALUES (%s, false, true, %s)",
        [("user:7", NOON), ("session:refusing", NOON)],
    )
    return shop


def capped(settings: Settings, repeats: int, daily: int) -> Settings:
    chosen = FeatureSettings(max_repeats_per_day=repeats, max_events_per_day=daily)
    return settings.model_copy(update={"features": chosen})


def assert_equal(one: Dataset, other: Dataset) -> None:
    for name, column in one._arrays().items():
        np.testing.assert_array_equal(column, other._arrays()[name], err_msg=name)
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(("repeats", "daily", "until"), [(2, 40, None), (0, 40, NOON - DAY), (0, 0, None)])
def test_the_snapshot_is_the_local_one(
    spark_session: Any, crowded: Shop, repeats: int, daily: int, until: datetime | None
) -> None:
    settings = capped(crowded.settings, repeats, daily)
    local = build_reported(settings, until, incremental=False)
    spark = build_reported(settings, until, read_all=SparkInteractionReader(spark_session))
    assert_equal(local.dataset, spark.dataset)
    assert (local.undated, local.cut, local.guests) == (spark.undated, spark.cut, spark.guests)
    assert (local.undated, bool(repeats or daily)) == (3 if until is None else 2, sum(local.cut.values()) > 0)


def test_what_comes_while_it_reads_is_in_the_next_build(spark_session: Any, crowded: Shop) -> None:
    before = build_reported(crowded.settings, incremental=False)
    reader, late = SparkInteractionReader(spark_session), Rows(crowded.database_url)

    def read(
        snapshot: Snapshot,
        until: sql.Composable | None,
        consents: ConsentFilter,
        weights: InteractionWeights,
    ) -> RawInteractions:
        late.events(Event(1, 10, "view", NOON), Event(1, 11, "view", NOON))
        return reader(snapshot, until, consents, weights)

    spark = build_reported(crowded.settings, read_all=read)
    assert spark.dataset.fingerprint == before.dataset.fingerprint
    # a local build goes on from the snapshot that Spark has made
    after = build_reported(crowded.settings)
    assert (after.new, after.whole) == (2, "")
    assert (
        after.dataset.fingerprint == build_reported(crowded.settings, incremental=False).dataset.fingerprint
    )


def test_a_shop_of_one_event(spark_session: Any, shop: Shop) -> None:
    Rows(shop.database_url).users(1)
    Rows(shop.database_url).events(Event(1, 5, "view", NOON))
    spark = build_reported(shop.settings, read_all=SparkInteractionReader(spark_session))
    assert_equal(build_reported(shop.settings, incremental=False).dataset, spark.dataset)
