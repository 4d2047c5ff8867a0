"""The data section: what imports refused, and how far the data moved since the last training."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.dataset import Dataset
from tests.training.shops import dataset_of
from training.report.data_section import drift_between, refused_rows, stability_index
from training.report.sections import Drift

MOMENT = datetime(2024, 5, 1, tzinfo=UTC)
THEN = [(user, product, float(user), "purchase") for user in range(1, 11) for product in (1, 2)]


def _drift(then: Dataset | None, now: Dataset, fingerprint: str = "then") -> Drift:
    return drift_between(then, now, "als-v1", fingerprint, MOMENT)


def test_the_index_of_known_shares() -> None:
    # (0.5 − 0.9) ln(0.5 / 0.9) + (0.5 − 0.1) ln(0.5 / 0.1)
    found = stability_index(np.array([90.0, 10.0]), np.array([5.0, 5.0]))
    assert found == pytest.approx(0.4 * np.log(1.8) + 0.4 * np.log(5.0))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8))
def test_the_index_is_zero_only_for_equal_shares(pairs: list[tuple[int, int]]) -> None:
    a = np.array([one for one, _ in pairs], dtype=np.float64) + 1
    b = np.array([one for _, one in pairs], dtype=np.float64) + 1
    assert stability_index(a, b) >= 0
    assert stability_index(a, b) == pytest.approx(stability_index(b, a))
    assert stability_index(a, 7 * a) == pytest.approx(0)


def test_nothing_moved_in_the_same_snapshot() -> None:
    data = dataset_of(THEN)
    drift = _drift(data, data, data.fingerprint)
    assert drift.same
    assert (drift.new_events, drift.new_users, drift.new_items) == (0, 0.0, 0.0)
    assert drift.popularity is drift.types is None


def test_more_of_the_same_is_no_drift_and_new_products_are() -> None:
    then = dataset_of(THEN)
    later = [(user, product, 20.0 + user, "purchase") for user in range(1, 11) for product in (1, 2)]
    calm = _drift(then, dataset_of(THEN + later))
    assert (calm.known, calm.same, calm.new_events) == (True, False, 20)
    assert calm.events == {"purchase": (20, 40)}
    assert calm.popularity == pytest.approx(0)
    assert calm.types == pytest.approx(0)

    strange = [(user, 3, 20.0, "view") for user in range(11, 16)]
    moved = _drift(then, dataset_of(THEN + strange))
    assert (moved.new_events, moved.new_users) == (5, pytest.approx(5 / 15))
    assert moved.new_items == pytest.approx(1 / 3)
    assert moved.events == {"purchase": (20, 20), "view": (0, 5)}
    assert moved.popularity is not None
    assert moved.popularity > 5  # all of it on a product that nobody knew
    assert moved.types is not None
    assert moved.types > 5


def test_a_snapshot_that_is_gone_is_reported() -> None:
    drift = _drift(None, dataset_of(THEN))
    assert not drift.known
    assert drift.new_events is None


def test_refused_rows_of_the_latest_import(tmp_path: Path) -> None:
    assert refused_rows(tmp_path / "none") == []
    head = "file,line,reason,row\n"
    (tmp_path / "20240101T000000000000-refused.csv").write_text(f"{head}a.csv,1,old,x\n")
    long = '"' + 'say ""no"",\n' * 20_000 + '"'  # a row may be long, and hold quotes and line ends
    (tmp_path / "20240102T030405000006-refused.csv").write_text(
        f"{head}b.csv,1,no such product,x\nb.csv,2,quantity is not positive,{long}\n"
        "b.csv,9,no such product,\n"
    )
    found = refused_rows(tmp_path)
    assert [(one.file, one.reason, one.rows) for one in found] == [
        ("b.csv", "no such product", 2),
        ("b.csv", "quantity is not positive", 1),
    ]
    assert found[0].at == datetime(2024, 1, 2, 3, 4, 5, 6, UTC)


@pytest.mark.parametrize(
    ("torn", "reason"),
    [
        ("", "this file of refused rows can't be read"),
        ("file,line\nx.csv,3\n", "this file of refused rows can't be read"),
        ("file,line,reason,row\nx.csv,3,,y\n", ""),
    ],
)
def test_a_damaged_file_of_refused_rows_costs_no_run_of_models(
    tmp_path: Path, torn: str, reason: str
) -> None:
    (tmp_path / "20240501T000000000000-refused.csv").write_text(torn)
    (found,) = refused_rows(tmp_path)
    assert found.reason == reason
