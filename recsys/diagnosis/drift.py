"""Whether what the active model learned from still looks like what it is asked about now.

Reads the header and the id maps of a snapshot (`dataset.json`, `users.npy`, `items.npy`), which the packages
above wrote, and the newest week of `user_interactions`; the week ends with the newest interaction, never with
the wall clock, so that a log of 2017 can be well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from recsys.artifacts.store import artifact_store
from recsys.errors import NotFound
from recsys.settings import Settings

__all__ = ["Skew", "learned_from", "skews"]

WINDOW = timedelta(days=7)
FEWEST = 100
"""Fewer events than this in the week say nothing about a distribution."""
MOST_MOVED = 0.2
"""Total variation distance between two distributions of interaction types, 0 (alike) to 1."""
MOST_UNKNOWN = 0.2
"""Share of the week's users, or products, that the snapshot does not know."""
OLDEST = timedelta(days=7)
"""So much newer than what the model learned from may the current snapshot be."""

BUILD_AND_TRAIN = "recsys features build, then recsys train run --all"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ACTIVE = text(
    "SELECT name, parameters ->> 'dataset' FROM recommendations_db.recommendation_models "
    "WHERE is_active ORDER BY id DESC LIMIT 1"
)
_TYPES = text(
    "SELECT interaction_type, count(*) FROM recommendations_db.user_interactions "
    "WHERE created_at > :first AND created_at <= :last GROUP BY interaction_type"
)
_SEEN = {
    "users": text(
        "SELECT DISTINCT user_id FROM recommendations_db.user_interactions "
        "WHERE created_at > :first AND created_at <= :last AND user_id IS NOT NULL"
    ),
    "products": text(
        "SELECT DISTINCT product_id FROM recommendations_db.user_interactions "
        "WHERE created_at > :first AND created_at <= :last"
    ),
}
_IDS = {"users": "users.npy", "products": "items.npy"}


@dataclass(frozen=True)
class Skew:
    """One difference between then and now, and what removes it."""

    found: str
    remedy: str


def learned_from(settings: Settings, connection: Connection, current: Path) -> tuple[str, Path]:
    """Who learned and the folder of that snapshot: the active model's, else the current one."""
    row = connection.execute(_ACTIVE).one_or_none()
    if row is not None and row[1]:
        return str(row[0]), settings.var / "datasets" / str(row[1])[:16]
    return "the current snapshot", current


def skews(settings: Settings, connection: Connection, current: Path) -> list[Skew]:
    """The differences that are worth a word; none where nothing can be compared.

    Parameters
    ----------
    settings
        The settings of the shop.
    connection
        A connection to its database.
    current
        The folder of the current snapshot.

    Raises
    ------
    ValueError
        A header cannot be read.
    """
    who, folder = learned_from(settings, connection, current)
    is_current = folder == current
    with _readable(settings, folder) as there, _readable(settings, current) as newest:
        return _compared(settings, connection, who, there, newest, is_current=is_current)


@contextmanager
def _readable(settings: Settings, folder: Path) -> Iterator[Path]:
    """The folder; where it is only in the store of artifacts, the few files of it that are read here."""
    store = artifact_store(settings)
    if folder.is_dir() or not store.is_shared:
        yield folder
        return
    with ExitStack() as opened:
        try:
            wanted = {"dataset.json", *_IDS.values()}
            files = opened.enter_context(
                store.some_files(f"datasets/{folder.name}", lambda path: path in wanted)
            )
        except NotFound:
            files = folder
        yield files


def _compared(
    settings: Settings, connection: Connection, who: str, folder: Path, current: Path, *, is_current: bool
) -> list[Skew]:
    if not is_current and not folder.is_dir():
        return [Skew(f"the snapshot that {who} learned from is gone", BUILD_AND_TRAIN)]
    header, newest_header = _header(folder), _header(current)
    if header is None or newest_header is None:
        return []
    found = _settings(settings, newest_header, "the current snapshot", BUILD_AND_TRAIN)
    if not is_current:
        # what the current snapshot shares with the settings is new to the model
        found = found or _settings(settings, header, who, "recsys train run --all")
        older = timedelta(microseconds=int(newest_header["moment"]) - int(header["moment"]))
        if older > OLDEST:
            found.append(
                Skew(
                    f"{who} learned from behaviour {older.days} days older than the current snapshot",
                    "recsys train run --all",
                )
            )
    week = _week(connection)
    if week is not None:
        found += _types(connection, week, header, who)
        found += _unknown(connection, week, folder, who)
    return found


def _header(folder: Path) -> dict[str, Any] | None:
    try:
        document = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    header = document.get("header") if isinstance(document, dict) else None
    if not isinstance(header, dict) or not isinstance(header.get("moment"), int):
        raise ValueError(f"{folder / 'dataset.json'} holds no header")
    return header


def _settings(settings: Settings, header: dict[str, Any], who: str, remedy: str) -> list[Skew]:
    chosen, used = settings.features, header.get("weights") or {}
    now: dict[str, Any] = {
        "half_life_days": chosen.half_life_days,
        "max_repeats_per_day": chosen.max_repeats_per_day,
        "max_events_per_day": chosen.max_events_per_day,
    }
    changed = [
        f"{name} {used[name]:g} → {value:g}"
        for name, value in now.items()
        if name in used and used[name] != value
    ]
    before, after = used.get("by_type") or {}, chosen.weights
    changed += [
        f"{word} {before.get(word, 0):g} → {after.get(word, 0):g}"
        for word in sorted({*before, *after})
        if before.get(word, 0) != after.get(word, 0)
    ]
    if not changed:
        return []
    return [Skew(f"{who} weighs behaviour by other settings ({', '.join(changed)})", remedy)]


def _week(connection: Connection) -> dict[str, datetime] | None:
    newest = connection.execute(
        text(
            "SELECT max(created_at) FROM recommendations_db.user_interactions "
            "WHERE created_at < 'infinity' AND created_at > '0002-01-01'"
        )
    ).scalar()
    return None if newest is None else {"first": newest - WINDOW, "last": newest}


def _types(connection: Connection, week: dict[str, datetime], header: dict[str, Any], who: str) -> list[Skew]:
    learned = {str(word): int(count) for word, count in (header.get("types") or {}).items()}
    # a word that the snapshot does not know is as good as another: none of them is learned from
    seen = {str(word): int(count) for word, count in connection.execute(_TYPES, week)}
    then, now = sum(learned.values()), sum(seen.values())
    if not then or now < FEWEST:
        return []
    shares = {
        word: (learned.get(word, 0) / then, seen.get(word, 0) / now) for word in sorted({*learned, *seen})
    }
    distance = sum(abs(old - new) for old, new in shares.values()) / 2
    if distance <= MOST_MOVED:
        return []
    word, (old, new) = max(shares.items(), key=lambda item: abs(item[1][0] - item[1][1]))
    return [
        Skew(
            f"users act differently from what {who} learned ({word} {old:.0%} → {new:.0%} of the last week)",
            BUILD_AND_TRAIN,
        )
    ]


def _unknown(connection: Connection, week: dict[str, datetime], folder: Path, who: str) -> list[Skew]:
    import numpy as np

    found = []
    for name, asked in _SEEN.items():
        try:
            known = np.load(folder / _IDS[name], mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            continue
        seen = np.array(connection.execute(asked, week).scalars().all(), dtype=np.int64)
        if not seen.size:
            continue
        share = 1 - float(np.isin(seen, known).mean())
        if share > MOST_UNKNOWN:
            found.append(
                Skew(f"{share:.0%} of the {name} of the last week are unknown to {who}", BUILD_AND_TRAIN)
            )
    return found
