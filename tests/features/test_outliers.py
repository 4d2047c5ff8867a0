"""Too many events of one day are cut: the same ones every time, and exactly as a plain loop would."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import outliers as features_outliers
from features.build.builder import as_microseconds, build, build_reported
from features.interactions import MICROSECONDS_PER_DAY, InteractionWeights
from features.outliers import DAILY, KEPT, REPEATED, outliers
from features.user_history import histories
from recsys.database.session import unit_of_work
from recsys.errors import Invalid
from recsys.settings import FeatureSettings
from tests.support.database_rows import DAY, NOON, Event, Rows, log_of
from tests.support.shop import Shop

LOGS = st.lists(
    st.tuples(
        st.sampled_from([-1, 0, 1]),
        st.integers(0, 2),
        st.integers(-1, 1),
        st.integers(0, 2),
        st.integers(-30, 30),
    ),
    max_size=60,
)


def _columns(rows: list[tuple[int, int, int, int, int]]) -> dict[str, Any]:
    ordered = sorted(rows, key=lambda row: row[4])
    named = zip(("user", "item", "kind", "session", "time"), range(5), strict=True)
    columns = {name: np.array([row[i] for row in ordered], np.int64) for name, i in named}
    return columns | {"time": columns["time"] * (MICROSECONDS_PER_DAY // 8)}


def _plainly(columns: dict[str, Any], repeats: int, daily: int) -> list[int]:
    same: Counter[object] = Counter()
    all_of: Counter[object] = Counter()
    verdicts = []
    for user, item, kind, session, time in zip(*(columns[name].tolist() for name in columns), strict=True):
        who = (user, session if user < 0 else 0, time // MICROSECONDS_PER_DAY)
        if user < 0 and session == 0:
            verdicts.append(KEPT)
            continue
        same[who, item, kind] += 1
        if repeats and same[who, item, kind] > repeats:
            verdicts.append(REPEATED)
            continue
        all_of[who] += 1
        verdicts.append(DAILY if daily and all_of[who] > daily else KEPT)
    return verdicts


@given(LOGS, st.integers(0, 3), st.integers(0, 5))
def test_as_a_plain_loop(rows: list[tuple[int, int, int, int, int]], repeats: int, daily: int) -> None:
    columns = _columns(rows)
    weights = InteractionWeights(max_repeats_per_day=repeats, max_events_per_day=daily)
    found = outliers(columns, weights)
    expected = _plainly(columns, repeats, daily)
    assert ([KEPT] * len(rows) if found is None else found.tolist()) == expected


def test_blocks_end_where_days_end(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = _columns([(0, 0, 0, 0, hour) for hour in range(-40, 40)])
    weights = InteractionWeights(max_events_per_day=3)
    whole = outliers(columns, weights)
    monkeypatch.setattr(features_outliers, "_BLOCK", 5)
    parts = outliers(columns, weights)
    assert whole is not None
    assert parts is not None
    assert parts.tolist() == whole.tolist() == [KEPT, KEPT, KEPT, *[DAILY] * 5] * 10


def test_a_bot_is_cut_counted_and_served_alike(shop: Shop) -> None:
    rows = Rows(shop.database_url)
    rows.users(1, 2)
    tick = DAY / 86_400
    bot = [Event(1, 10 + i % 7, ["view", "like"][i % 2], NOON + i * tick) for i in range(40)]
    human = [Event(2, 10, "view", NOON), Event(2, 10, "view", NOON + tick), Event(2, 99, "view", NOON + DAY)]
    rows.events(*bot, *human)
    settings = shop.settings.model_copy(
        update={"features": FeatureSettings(max_repeats_per_day=2, max_events_per_day=10)}
    )
    built = build_reported(settings)
    dataset = built.dataset
    assert built.cut == {"repeated": 12, "daily": 18}
    assert dataset._header()["cut"] == built.cut
    assert [row[1:] for row in log_of(dataset) if row[0] == 1] == [
        (10 + i % 7, ["view", "like"][i % 2], None, as_microseconds(NOON + i * tick)) for i in range(10)
    ]
    assert sum(row[0] == 2 for row in log_of(dataset)) == 3
    assert dataset.fingerprint == build(settings, incremental=False).fingerprint
    assert dataset.fingerprint != build(shop.settings).fingerprint
    with unit_of_work() as session:
        found = histories(session, [2, 1], dataset.weights, dataset.moment, limit=None)
    assert [len(history.products) for history in found] == [3, 10]
    liked = np.zeros(len(dataset.items))
    np.add.at(liked, dataset.items.index(found[1].products), found[1].weights.astype(np.float64))
    np.testing.assert_array_equal(liked.astype(np.float32), dataset.matrix[[0]].toarray()[0])


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(Invalid, match=r"max_events_per_day must be 0 \(no limit\) or more, not -1"):
        InteractionWeights(max_events_per_day=-1)
