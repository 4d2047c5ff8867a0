"""Where datasets lie, which of them is the current one, and which may go.

With a store of artifacts beside var, snapshots and the record of the current one are published there, and a
host that did not build them fetches them when they are opened.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from features.dataset import HEADER, Dataset
from recsys import clock
from recsys.artifacts.store import artifact_store
from recsys.errors import Invalid, NotFound
from recsys.settings import Settings

__all__ = ["KEPT", "current", "current_record", "folder_of", "iso", "load", "scratch_folder", "store"]

KEPT = 5
"""So many snapshots stay; older ones go, unless one of them is the current."""
CURRENT = "current.json"
_NAME, _RECORD = "datasets/{}", f"datasets/{CURRENT}"
_STAGING = ".building-"
_BUILD = "run `recsys features build`"


def folder_of(settings: Settings, fingerprint: str) -> Path:
    """The folder of a snapshot, whether or not it is there."""
    return settings.var / "datasets" / fingerprint[:16]


def scratch_folder(settings: Settings) -> Path:
    """The folder whose file system holds what a build keeps in files, made if it is not there."""
    folder = settings.var / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def store(
    settings: Settings,
    dataset: Dataset,
    *,
    until: datetime | None = None,
    watermark: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the snapshot and make it the current one, each whole or not at all.

    Parameters
    ----------
    until
        The moment that the build was asked for, for the record; None: the newest data.
    watermark
        Up to where the table was read, for the next build (`features.build.incremental`); None for nothing to
        go on from.

    Returns
    -------
    dict
        The new record.
    """
    datasets = settings.var / "datasets"
    datasets.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=datasets))
    try:
        fingerprint = dataset.save(staging / "dataset")
        folder = folder_of(settings, fingerprint)
        _put(staging / "dataset", folder, staging / "old")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    record = {
        "fingerprint": fingerprint,
        "folder": folder.name,
        "moment": iso(dataset.moment),
        "built_at": clock.now().isoformat(),
        "events": len(dataset.events),
        "users": len(dataset.users),
        "items": len(dataset.items),
        "until": None if until is None else until.isoformat(),
        "watermark": None if watermark is None else dict(watermark),
    }
    written = datasets / f".{CURRENT}-{os.getpid()}"
    written.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(written, datasets / CURRENT)
    _publish(settings, folder.name)
    _prune(datasets, keep=folder.name)
    return record


def iso(moment: int) -> str:
    """Microseconds since 1970-01-01 UTC in ISO 8601, also beyond the years that Python's datetime knows."""
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).isoformat()
    except OverflowError:
        return f"{np.datetime64(moment, 'us')}+00:00"


def current_record(settings: Settings) -> dict[str, Any]:
    """What `current.json` says. Raises NotFound when nothing was built yet, Invalid when it is damaged."""
    path = artifact_store(settings).fetch_if_there(_RECORD)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"no dataset was built yet under {path.parent}; {_BUILD}") from error
    except (OSError, ValueError) as error:
        raise Invalid(f"{path} is damaged ({error}); {_BUILD}") from error
    if not isinstance(record, dict) or not isinstance(record.get("fingerprint"), str):
        raise Invalid(f"{path} is damaged (it names no fingerprint); {_BUILD}")
    return record


def current(settings: Settings, *, verify: bool = True) -> Dataset:
    """The current snapshot. Raises NotFound when nothing was built yet, Invalid when it is damaged."""
    return load(settings, current_record(settings)["fingerprint"], verify=verify)


def load(settings: Settings, fingerprint: str, *, verify: bool = True) -> Dataset:
    """The snapshot with that fingerprint (its first 16 characters are enough).

    Raises
    ------
    NotFound
        When it is not there any more.
    Invalid
        When it is damaged or another than its name says.
    """
    folder = folder_of(settings, fingerprint)
    is_fingerprint = len(fingerprint) >= 16 and set(fingerprint) <= set("0123456789abcdef")
    if is_fingerprint and not folder.is_dir():
        artifact_store(settings).fetch_if_there(_NAME.format(folder.name))
    if not is_fingerprint or not folder.is_dir():
        raise NotFound(f"there is no dataset {fingerprint} under {folder.parent}; {_BUILD}")
    store, name = artifact_store(settings), _NAME.format(folder.name)
    try:
        dataset = Dataset.load(folder, verify=verify)
    except Invalid:
        if not store.is_shared:
            raise
        dataset = Dataset.load(store.fetch_again(name), verify=verify)
    store.note_use(name)
    if not dataset.fingerprint.startswith(fingerprint):
        raise Invalid(f"{folder} holds the dataset {dataset.fingerprint}, not {fingerprint}; {_BUILD}")
    return dataset


def _publish(settings: Settings, folder: str) -> None:
    """Make the snapshot and then the record readable for other hosts; the oldest snapshots go."""
    store = artifact_store(settings)
    if not store.is_shared:
        return
    for name in (_NAME.format(folder), _RECORD):
        store.publish(name, patient=True)
    published = {
        name: store.manifest(name).published_at for name in store.names("datasets") if name != _RECORD
    }
    oldest = sorted(published, key=lambda name: published[name])[:-KEPT]
    for name in oldest:
        if name != _NAME.format(folder):
            store.withdraw(name)


def _put(new: Path, folder: Path, aside: Path) -> None:
    """Put the new folder in its place. The same snapshot may be there already, whole or damaged."""
    if folder.exists():
        try:
            Dataset.load(folder)
        except (Invalid, NotFound):
            os.replace(folder, aside)
        else:
            os.utime(folder)  # built again: it is young once more
            return
    try:
        os.replace(new, folder)
    except OSError:
        if not (folder / HEADER).is_file():  # else another build of the same data was faster
            raise


def _prune(datasets: Path, *, keep: str) -> None:
    folders = [path for path in datasets.iterdir() if path.is_dir()]
    snapshots = sorted((path for path in folders if not path.name.startswith(".")), key=_age, reverse=True)
    yesterday = (clock.now() - timedelta(days=1)).timestamp()
    left_over = [path for path in folders if path.name.startswith(_STAGING) and _age(path) < yesterday]
    for path in [*(old for old in snapshots[KEPT:] if old.name != keep), *left_over]:
        shutil.rmtree(path, ignore_errors=True)


def _age(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):  # another build may have removed it
        return path.stat().st_mtime
    return 0.0
