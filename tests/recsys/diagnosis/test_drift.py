"""The doctor compares what the active model learned from with what it is asked about now."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.build.builder import build
from recsys import clock
from recsys.diagnosis import doctor
from recsys.diagnosis.finding import Finding
from recsys.settings import FeatureSettings, Settings
from tests.support.database_rows import DAY, NOON, Event, Rows
from tests.support.shop import Shop


@pytest.fixture
def rows(shop: Shop) -> Rows:
    found = Rows(shop.database_url)
    found.users(*range(1, 11))
    found.events(*(Event(1 + i % 5, 1 + i % 4, "view", NOON - i * DAY / 100) for i in range(150)))
    return found


def _found(settings: Settings) -> Finding:
    with clock.frozen_at(clock.now() + timedelta(minutes=1)):
        return {each.part: each for each in doctor.examine(settings)}["features"]


def _activate(shop: Shop, dataset: str) -> None:
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.recommendation_models (name, version, parameters, is_active) "
            "VALUES ('als-v1', '1', jsonb_build_object('dataset', %s::text), true)",
            (dataset,),
        )


def test_nothing_differs(shop: Shop, rows: Rows) -> None:
    _activate(shop, build(shop.settings).fingerprint)
    found = _found(shop.settings)
    assert (found.state, found.remedy) == ("ok", None), found


def test_other_settings(shop: Shop, rows: Rows) -> None:
    build(shop.settings)
    other = shop.settings.model_copy(
        update={"features": FeatureSettings(weights={"view": 9.0}, max_events_per_day=7)}
    )
    found = _found(other)
    assert found.state == "attention"
    assert "the current snapshot weighs behaviour by other settings" in found.found
    assert "max_events_per_day 1000 → 7" in found.found
    assert "purchase 5 → 0, review 4 → 0, view 1 → 9" in found.found
    assert found.remedy == "recsys features build, then recsys train run --all"


def test_a_model_that_learned_by_other_settings(shop: Shop, rows: Rows) -> None:
    other = shop.settings.model_copy(update={"features": FeatureSettings(half_life_days=5)})
    _activate(shop, build(other).fingerprint)
    build(shop.settings)
    found = _found(shop.settings)
    assert "als-v1 weighs behaviour by other settings (half_life_days 5 → 90)" in found.found
    assert (found.state, found.remedy) == ("attention", "recsys train run --all")


def test_a_model_older_than_the_snapshot(shop: Shop, rows: Rows) -> None:
    _activate(shop, build(shop.settings).fingerprint)
    rows.events(Event(1, 1, "view", NOON + 9 * DAY))
    build(shop.settings)
    found = _found(shop.settings)
    assert "als-v1 learned from behaviour 9 days older than the current snapshot" in found.found
    assert found.remedy == "recsys train run --all"


def test_other_behaviour_and_strangers(shop: Shop, rows: Rows) -> None:
    _activate(shop, build(shop.settings).fingerprint)
    # a week later: five known and five new users, one of five products is new, everyone buys
    rows.events(
        *(Event(1 + i % 10, 1 + i % 5, "purchase", NOON + 8 * DAY + i * DAY / 200) for i in range(150))
    )
    found = _found(shop.settings)
    assert found.state == "attention"
    assert (
        "users act differently from what als-v1 learned (purchase 0% → 100% of the last week)" in found.found
    )
    assert "50% of the users of the last week are unknown to als-v1" in found.found
    assert "of the products" not in found.found  # one in five is no more than usual
    assert found.remedy == "recsys features build, then recsys train run --all"


def test_a_snapshot_that_is_gone_or_unreadable(shop: Shop, rows: Rows) -> None:
    dataset = build(shop.settings)
    _activate(shop, "f" * 64)
    assert "the snapshot that als-v1 learned from is gone" in _found(shop.settings).found
    (shop.var / "datasets" / dataset.fingerprint[:16] / "dataset.json").write_text("[]")
    with shop.connect() as connection:
        connection.execute("UPDATE recommendations_db.recommendation_models SET is_active = false")
    found = _found(shop.settings)
    assert (found.state, found.remedy) == ("broken", "recsys features build")
