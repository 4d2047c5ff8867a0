"""Snapshots on disk: the current one, the older ones, and what is left of a broken build."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.build import snapshots
from features.build.snapshots import current, current_record, folder_of, load, store
from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY as DAY
from recsys import clock
from recsys.errors import Invalid, NotFound
from recsys.settings import Settings
from tests.features.small import SMALL


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(var=tmp_path / "var", environment="test")


def dataset(day: int = 90) -> Dataset:
    return SMALL.dataset().until(day * DAY)


def test_the_record_and_the_current_snapshot(own: Settings) -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    taken = dataset()
    with clock.frozen_at(moment):
        record = store(own, taken, until=datetime(1970, 4, 1, tzinfo=UTC))
    assert record == json.loads((own.var / "datasets" / "current.json").read_text()) == current_record(own)
    assert record == {
        "fingerprint": taken.fingerprint,
        "folder": taken.fingerprint[:16],
        "moment": "1970-04-01T00:00:00+00:00",
        "built_at": "2030-01-01T00:00:00+00:00",
        "events": 5,
        "users": 3,
        "items": 4,
        "until": "1970-04-01T00:00:00+00:00",
        "watermark": None,
    }
    assert current(own).fingerprint == taken.fingerprint
    assert load(own, taken.fingerprint[:16]).fingerprint == taken.fingerprint
    assert sorted(path.name for path in (own.var / "datasets").iterdir()) == sorted(
        ["current.json", taken.fingerprint[:16]]
    )


def test_the_same_again_heals_a_damaged_folder(own: Settings) -> None:
    fingerprint = store(own, dataset())["fingerprint"]
    (folder_of(own, fingerprint) / "users.npy").unlink()
    with pytest.raises(Invalid, match=r"users\.npy"):
        current(own)
    store(own, dataset())
    assert current(own).fingerprint == fingerprint
    store(own, dataset())
    assert len(list((own.var / "datasets").iterdir())) == 2


def test_only_the_newest_stay_and_the_current_always(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "KEPT", 2)
    folders = []
    for age, day in enumerate([10, 20, 30, 40]):
        folders.append(folder_of(own, store(own, dataset(day))["fingerprint"]))
        os.utime(folders[-1], (1000 + age, 1000 + age))
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    store(own, dataset(30))  # the older one becomes current, and is young again
    store(own, dataset(50))
    assert [folder.exists() for folder in folders] == [False, False, True, False]


def test_what_a_killed_build_left_goes_after_a_day(own: Settings) -> None:
    store(own, dataset())
    old, young = (own.var / "datasets" / f".building-{name}" for name in ("old", "young"))
    old.mkdir()
    young.mkdir()
    os.utime(old, (1000, 1000))
    store(own, dataset())
    assert (old.exists(), young.exists()) == (False, True)


def test_nothing_built_or_damaged_is_reported(own: Settings) -> None:
    with pytest.raises(NotFound, match=r"no dataset was built yet.*recsys features build"):
        current(own)
    store(own, dataset())
    for text in ("", "[]", '{"fingerprint": 3}'):
        (own.var / "datasets" / "current.json").write_text(text)
        with pytest.raises(Invalid, match=r"current\.json is damaged"):
            current(own)
    for wrong in ("../../etc/passwd", "", "0" * 64, "abc"):
        with pytest.raises(NotFound, match="there is no dataset"):
            load(own, wrong)


def test_a_folder_with_another_dataset_is_refused(own: Settings) -> None:
    fingerprint = store(own, dataset())["fingerprint"]
    other = "f" * 64
    os.replace(folder_of(own, fingerprint), folder_of(own, other))
    with pytest.raises(Invalid, match="holds the dataset"):
        load(own, other)


def test_moments_beyond_the_calendar_can_be_written() -> None:
    assert snapshots.iso(0) == "1970-01-01T00:00:00+00:00"
    assert snapshots.iso(10**18).startswith("33658-")
