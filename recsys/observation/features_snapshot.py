"""The record of the current snapshot of features, as its builder left it on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recsys.artifacts.store import artifact_store
from recsys.errors import RecsysError
from recsys.settings import Settings

__all__ = ["FeaturesSnapshot", "SnapshotFault", "read_snapshot"]


class SnapshotFault(Exception):
    """The record of the snapshot is there and cannot be read; the message says why."""


@dataclass(frozen=True)
class FeaturesSnapshot:
    """A snapshot of features.

    Attributes
    ----------
    moment
        Interactions up to it are in the snapshot.
    until
        The end that was asked for, if any.
    """

    folder: Path
    moment: datetime
    built_at: datetime
    events: int
    until: str | None


def read_snapshot(settings: Settings) -> FeaturesSnapshot | None:
    """The current snapshot; None when none was built. Raises SnapshotFault."""
    path = settings.var / "datasets" / "current.json"
    try:
        path = artifact_store(settings).fetch_if_there("datasets/current.json")
        record = json.loads(path.read_text(encoding="utf-8"))
        return FeaturesSnapshot(
            folder=path.parent / str(record["folder"]),
            moment=_moment(record["moment"]),
            built_at=_moment(record["built_at"]),
            events=int(record["events"]),
            until=record.get("until"),
        )
    except FileNotFoundError:
        return None
    except RecsysError as error:
        raise SnapshotFault(error.message) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotFault(f"{path} cannot be read ({type(error).__name__})") from error


def _moment(written: str) -> datetime:
    moment = datetime.fromisoformat(written)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment
