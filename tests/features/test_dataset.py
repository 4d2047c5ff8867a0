"""Datasets: the matrix by hand, the past as it was, and the way to disk and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features import blocks as block_sizes
from features import dataset as module
from features.build.column_reader import NO_ID
from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY as DAY
from recsys.errors import Invalid
from tests.features.small import BOUGHT, NAN, SMALL
from tests.support.random_logs import MOMENTS, SHOPS, Shop


def test_the_matrix_by_hand() -> None:
    dataset = SMALL.dataset()
    assert dataset.users.ids.tolist() == [1, 7, 9]
    assert dataset.items.ids.tolist() == [10, 20, 30, 40]
    assert dataset.moment == 90 * DAY
    # a view of one half-life ago and a purchase now; a bad review and an unknown word are touched, not liked
    assert dataset.matrix.toarray().tolist() == [[5.5, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert dataset.touched.nnz == 3
    assert dataset.touched[0, 1] == dataset.touched[1, 1] == 0
    assert dataset.matrix.nnz == 1
    assert dataset.matrix.dtype == np.float32


def test_items_inside_and_outside_the_catalogue() -> None:
    features = SMALL.dataset().item_features
    assert features.category_paths == ["A > B", "C"]
    assert features.brand_names == ["x", "y"]
    assert features.category.tolist() == [0, -1, -1, 1]
    assert features.brand.tolist() == [0, -1, -1, -1]
    assert features.names == ["name 10", "product 20", "product 30", "name 40"]
    assert features.text == ["text 10 A B", "", "", "text 40 C"]
    assert features.active.tolist() == [True, False, False, True]
    np.testing.assert_array_equal(features.price, np.array([5, NAN, NAN, 20], np.float32))
    assert features.created.tolist() == [0, 10 * DAY, 20 * DAY, 50 * DAY]


def test_the_past_has_no_trace_of_what_came_later() -> None:
    past = SMALL.dataset().until(20 * DAY)
    assert past.moment == 20 * DAY
    assert past.users.ids.tolist() == [1, 7, 9]
    assert past.items.ids.tolist() == [10, 20, 30]
    assert len(past.events) == 3
    assert past.item_features.category_paths == ["A > B"]
    assert past.preferences.updated.tolist() == [0, 0, 1]
    assert past.preferences.categories.nnz == 0
    assert past.preferences.brands.toarray().tolist() == [[0, 0], [0, 0], [0, 1]]
    assert past.matrix[0, 0] == pytest.approx(0.5 ** (20 / 90))


@given(SHOPS, MOMENTS)
def test_until_equals_building_with_what_was_there_then(shop: Shop, moment: int) -> None:
    now = shop.dataset().until(moment)
    then = replace(shop.dataset(until=moment), target=now.target)  # the target stays that of all events
    assert now.users == then.users
    assert now.items == then.items
    np.testing.assert_array_equal(now.matrix.toarray(), then.matrix.toarray())
    assert now.fingerprint == then.fingerprint


@given(SHOPS, MOMENTS, MOMENTS)
def test_going_back_twice_is_going_back_to_the_earlier(shop: Shop, one: int, other: int) -> None:
    early, late = sorted((one, other))
    assert shop.dataset().until(late).until(early).fingerprint == shop.dataset().until(early).fingerprint


def test_the_newest_interactions_leave_out_who_has_none_of_them() -> None:
    newest = SMALL.dataset().newest(3)
    assert sorted(newest.events.time.tolist()) == [20 * DAY, 90 * DAY, 90 * DAY]
    assert newest.users.ids.tolist() == [1, 9]  # 7 was there earlier; 9 stated something and did nothing
    assert newest.preferences.updated.tolist() == [0, 1]
    assert newest.items.ids.tolist() == [10, 20, 30, 40]
    assert newest.matrix.toarray()[0].tolist() == [5.0, 0, 0, 0]
    assert newest.moment == 90 * DAY
    assert (newest.snapshot, newest.left_out) == (SMALL.dataset().fingerprint, 2)
    assert newest.newest(1).snapshot == newest.snapshot
    assert newest.newest(1).left_out == 4
    assert newest.fingerprint != newest.snapshot
    assert SMALL.dataset().snapshot == SMALL.dataset().fingerprint


@given(SHOPS, st.integers(1, 30))
def test_the_newest_interactions_are_never_older_than_the_others(shop: Shop, count: int) -> None:
    whole = shop.dataset()
    newest = whole.newest(count)
    if len(whole.events) <= count:
        assert newest is whole
        return
    assert sorted(newest.events.time.tolist()) == sorted(whole.events.time.tolist())[-count:]
    assert newest.fingerprint == whole.newest(count).fingerprint  # ties are drawn by a seed

    def by_ids(dataset: Dataset) -> list[tuple[object, ...]]:
        ids = np.append(dataset.users.ids, -1)  # the last one is a guest's
        events = dataset.events
        columns = ids[events.user], dataset.items.ids[events.item], events.kind, events.time, events.session
        return list(zip(*(column.tolist() for column in columns), strict=True))

    left = by_ids(whole)
    for event in by_ids(newest):
        left.remove(event)
    del newest.__dict__["fingerprint"]
    gone = set(whole.users.ids.tolist()) - set(newest.users.ids.tolist())
    assert gone <= {event[0] for event in left}
    assert newest.until(newest.moment).matrix.nnz == newest.matrix.nnz


@given(st.data(), SHOPS)
def test_the_fingerprint_does_not_depend_on_the_order_of_rows(data: st.DataObject, shop: Shop) -> None:
    order = data.draw(st.permutations(range(len(shop.events))))
    assert shop.dataset(order=order).fingerprint == shop.dataset().fingerprint


@given(SHOPS)
def test_weighing_in_blocks_changes_nothing(shop: Shop) -> None:
    whole = shop.dataset().touched
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_sizes, "BLOCK", 3)
        blocks = shop.dataset().touched
    np.testing.assert_array_equal(whole.toarray(), blocks.toarray())
    assert whole.indices.tolist() == blocks.indices.tolist()


def test_the_fingerprint_knows_every_part() -> None:
    base = SMALL
    others = [
        Shop(base.events[:-1], base.products, base.preferences),
        Shop([*base.events[:-1], (NO_ID, 30, BOUGHT, 1.0, 6, 20 * DAY)], base.products, base.preferences),
        Shop(base.events, base.products | {40: (51 * DAY, 3, NO_ID)}, base.preferences),
        Shop(base.events, base.products | {40: (50 * DAY, 2, NO_ID)}, base.preferences),
        Shop(base.events, base.products, base.preferences | {9: (1, "{}", '["x"]')}),
        Shop(base.events, base.products, base.preferences | {9: (2, "{}", '["y"]')}),
    ]
    found = {shop.dataset().fingerprint for shop in (base, *others)}
    assert len({*found, base.dataset(until=90 * DAY + 1).fingerprint}) == len(others) + 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(SHOPS)
def test_save_and_load_round_trip(tmp_path: Path, shop: Shop) -> None:
    dataset = shop.dataset()
    fingerprint = dataset.fingerprint
    assert dataset.save(tmp_path / "d") == fingerprint
    loaded = Dataset.load(tmp_path / "d")
    assert loaded.fingerprint == fingerprint
    del loaded.__dict__["fingerprint"]
    assert loaded.fingerprint == fingerprint  # computed again from the loaded data
    assert loaded.weights == dataset.weights
    assert loaded.item_features.names == dataset.item_features.names
    np.testing.assert_array_equal(loaded.touched.toarray(), dataset.touched.toarray())
    later = dataset.moment - DAY
    assert loaded.until(later).fingerprint == dataset.until(later).fingerprint


def test_damage_and_other_formats_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SMALL.dataset().save(tmp_path / "d")
    file = tmp_path / "d" / "event_time.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Invalid, match=r"event_time\.npy does not match its checksum"):
        Dataset.load(tmp_path / "d")
    file.write_bytes(whole)
    monkeypatch.setattr(module, "FORMAT", 99)
    with pytest.raises(Invalid, match="format 4; this version reads 99"):
        Dataset.load(tmp_path / "d")
