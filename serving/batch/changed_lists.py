"""Stored lists of the users who changed since the live generation was made, in the place of those it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.registry.registry import RegisteredModel
from recsys import clock
from recsys.database.session import copy_connection, unit_of_work
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists.changes import (
    DatabaseState,
    changed_users,
    users_with_lists,
)
from recsys.domains.recommendations.stored_lists.exchange import exchange, exchange_in_redis, note_changed
from recsys.domains.recommendations.stored_lists.generations import Generation
from recsys.settings import get_settings
from recsys.settings.serving import ServingSettings
from serving.batch.list_storage import ListStorage, Progress, UserListWriter
from serving.batch.preparation import Preparation, begin_generation, users_to_score

__all__ = ["ChangedLists", "reason_for_all", "score_some"]


@dataclass(frozen=True)
class ChangedLists:
    """What became of the live generation; as in `ScoringReport`."""

    users: int
    rows: int
    ranked: int
    filled: int
    removed: int
    inactive: int
    redis: bool


def reason_for_all(
    live: Generation | None,
    serving: RegisteredModel,
    settings: ServingSettings,
    now: DatabaseState | None = None,
) -> str:
    """Say why all lists must be made, in a few words; empty where those of changed users are enough.

    Parameters
    ----------
    live
        The generation whose lists are live.
    serving
        The model that serves.
    now
        The state of the database; None where it does not matter yet who changed.
    """
    if live is None:
        return "no lists are stored yet"
    if (live.model, live.version) != (serving.name, serving.version):
        return f"the stored lists are of {live.model}"
    if clock.now() >= live.started_at + settings.full_after:
        return f"all users were scored more than {settings.full_after.total_seconds() / 3600:g} hours ago"
    if live.expires_at is not None and clock.now() >= live.expires_at:
        return "the stored lists have expired"
    if now is None:
        return ""
    if not live.rows_written:
        return "the rows of product_recommendations are of other lists"
    if live.read_up_to is None:
        return "a version before this one made the stored lists"
    if not DatabaseState.read(live.read_up_to).is_before(now):
        return "the stored lists were made in another database, of which this one is a copy"
    return ""


def score_some(
    prepared: Preparation, live: Generation, write: UserListWriter, progress: Progress | None
) -> ChangedLists:
    """Make the lists that differ from what a scoring of all users would make; call it under the lock.

    These are of users who did something since the live generation read it, and of those who have no list
    though they get one. Until the end readers get the former lists.

    Raises
    ------
    Conflict
        Another model or generation serves by then.
    """
    wanted, inactive = users_to_score(prepared.model, get_settings().serving)
    assert live.read_up_to is not None
    with copy_connection("recommendations") as connection:
        changed = changed_users(connection, DatabaseState.read(live.read_up_to))
        listed = np.array(users_with_lists(connection, live.id), dtype=np.int64)
    users = wanted[np.isin(wanted, changed) | ~np.isin(wanted, listed)]
    removed = np.setdiff1d(listed, wanted)
    staged = begin_generation(prepared.model.registered)
    storage = ListStorage(staged, live.seconds_left, in_redis=False)
    try:
        written = prepared.write_lists(write, users, storage, progress)
        with unit_of_work() as session:
            exchanged = exchange(session, staged, live, removed=removed.tolist())
    except Exception:
        with unit_of_work() as session:
            generations.give_up(session, staged)
        raise
    in_redis = exchange_in_redis(live, exchanged)
    if in_redis:
        storage.forget_recent()
        # only now: what a killed run left out of Redis must be found again by the next one
        with unit_of_work() as session:
            note_changed(session, live.id, prepared.state)
    return ChangedLists(
        exchanged.users,
        exchanged.rows,
        len(exchanged.changed),
        written.filled,
        len(exchanged.removed),
        inactive,
        in_redis,
    )
