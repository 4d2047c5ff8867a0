"""Scores the users of a shop: all of them into a new generation, or those who changed into the live one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta

from models.registry import registry
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.stored_lists.rows import settle, write_rows
from recsys.settings import get_settings
from serving.batch.arm_lists import complete_arms, models_without_lists, score_arms
from serving.batch.changed_lists import reason_for_all, score_some
from serving.batch.list_storage import ListStorage, Progress, UserListWriter, write_user_lists
from serving.batch.preparation import Preparation, begin_generation, prepare, users_to_score
from serving.batch.shared_lists import data_of, write_shared_lists

__all__ = ["ScoringReport", "score", "score_changed", "score_if_needed"]


@dataclass(frozen=True)
class ScoringReport:
    """The result of a scoring.

    Attributes
    ----------
    users
        Users with a list of the live generation now.
    rows
        Rows of product_recommendations of the users whose lists were made.
    ranked
        Users whose lists were made.
    filled
        Users whose lists were made and completed with popular products.
    redis
        False when the lists are in PostgreSQL only.
    seconds
        How long it took.
    kept
        Lists of other users, which stayed as they were.
    removed
        Lists of users who get none any more.
    whole
        Why the lists of all users were made, where those of changed users were asked for.
    inactive
        Users with interactions whose lists are not stored (`ServingSettings.stored_active_days`).
    shared
        Lists that are the same for everybody, of products, categories, countries and the shop.
    arms
        Lists of the models of a running experiment, by model.
    """

    generation: int
    model: str
    version: str
    users: int
    rows: int
    ranked: int
    filled: int
    redis: bool
    seconds: float
    kept: int = 0
    removed: int = 0
    whole: str = ""
    inactive: int = 0
    shared: int = 0
    arms: dict[str, int] = field(default_factory=dict)


def score_if_needed(
    progress: Progress | None = None, *, write: UserListWriter = write_user_lists
) -> ScoringReport | None:
    """Score all users where another model serves or `full_after` is over, else those who changed, if due.

    Returns
    -------
    ScoringReport or None
        None where nothing was scored, as in a new shop without an active model.
    """
    settings = get_settings().serving
    with unit_of_work() as session:
        live, active = generations.live(session), registry.active(session)
    if active is None:
        return None
    if reason_for_all(live, active, settings):
        return score(progress, write=write)
    assert live is not None
    list_cache.reconcile()
    settle()
    latest = live.started_at if live.changed_at is None else max(live.started_at, live.changed_at)
    if clock.now() >= latest + timedelta(hours=settings.changed_after_hours):
        return score_changed(progress, write=write)
    _score_missing_arms(write)
    return None


def score_changed(
    progress: Progress | None = None, *, write: UserListWriter = write_user_lists
) -> ScoringReport:
    """Make the lists of users who changed since the live generation was made; all others stay as they are.

    Where that is not known, or all lists are due, all are made: `ScoringReport.whole` says why.

    Raises
    ------
    NotFound, Unavailable, Conflict
        As `score`.
    """
    started = time.perf_counter()
    settle()
    with locks.only_one_scoring():
        prepared = prepare()
        whole = reason_for_all(
            prepared.live, prepared.model.registered, get_settings().serving, now=prepared.state
        )
        if whole:
            return replace(_score_all(started, prepared, progress, write), whole=whole)
        assert prepared.live is not None
        some = score_some(prepared, prepared.live, write, progress)
        users, _ = users_to_score(prepared.model, get_settings().serving)
        arms = complete_arms(prepared.catalogue, prepared.popular, users, write=write)
        missing = models_without_lists()
        if missing:
            arms |= score_arms(prepared.catalogue, prepared.popular, users, only=missing, write=write)
    return ScoringReport(
        prepared.live.id,
        prepared.live.model,
        prepared.live.version,
        some.users,
        some.rows,
        some.ranked,
        some.filled,
        some.redis,
        time.perf_counter() - started,
        kept=some.users - some.ranked,
        removed=some.removed,
        inactive=some.inactive,
        arms=arms,
    )


def score(progress: Progress | None = None, *, write: UserListWriter = write_user_lists) -> ScoringReport:
    """Write a new generation of stored lists and make it live; until then readers get the previous one.

    Parameters
    ----------
    progress
        Called with the number of users who are scored by then, and of all.
    write
        What scores users and stores their lists, on this machine or on several.

    Raises
    ------
    NotFound
        No model is active.
    Unavailable
        The artifact of the active model is damaged.
    Conflict
        Another scoring runs, or the model was withdrawn meanwhile: its lists then do not become live.
    """
    started = time.perf_counter()
    with locks.only_one_scoring():
        return _score_all(started, prepare(), progress, write)


def _score_all(
    started: float, prepared: Preparation, progress: Progress | None, write: UserListWriter
) -> ScoringReport:
    """Do the work of `score`, under its lock."""
    model, live, former = prepared.model, prepared.live, prepared.former
    name, version = model.registered.name, model.registered.version
    settings = get_settings().serving
    generation = begin_generation(model.registered, state=prepared.state)
    retired = generations.goes(live, former, name)
    # a product of the previous list may still be clicked: its row is deleted with the next generation
    keep = [
        stored.id
        for stored in (live, former)
        if stored is not None and (stored is live or stored.id != retired)
    ]
    storage = ListStorage(generation, int(settings.expires_after_hours * 3600))
    try:
        users, inactive = users_to_score(model, settings)
        filled = prepared.write_lists(write, users, storage, progress).filled
        shared_data = data_of(model, prepared.catalogue)
        expires = clock.now() + timedelta(hours=settings.expires_after_hours)
        # PostgreSQL copies the rows meanwhile
        with ThreadPoolExecutor(1, "shared-lists") as beside, unit_of_work() as session:
            writing = beside.submit(write_shared_lists, generation, shared_data, storage.seconds)
            user_count, rows = write_rows(session, generation, expires_at=expires, keep=keep)
            shared = writing.result()
            generations.go_live(
                session,
                generation,
                model=name,
                before=None if live is None else live.id,
                users=user_count,
                rows=rows,
                expires_at=expires,
            )
    except Exception:
        with unit_of_work() as session:
            generations.give_up(session, generation)
        list_cache.retire_lists(generation, 0)
        raise
    # also when Redis lacks lists: readers then read them from PostgreSQL, of the same generation
    is_shown = list_cache.follow(generation)
    # newer than the recent interactions that are forgotten then
    arms = score_arms(prepared.catalogue, prepared.popular, users, write=write)
    storage.forget_recent()
    if retired is not None:
        list_cache.retire_lists(retired)
    return ScoringReport(
        generation,
        name,
        version,
        user_count,
        rows,
        user_count,
        filled,
        storage.redis_available and is_shown,
        time.perf_counter() - started,
        inactive=inactive,
        shared=shared,
        arms=arms,
    )


def _score_missing_arms(write: UserListWriter) -> None:
    """Store the lists of an experiment that began since the last scoring."""
    if missing := models_without_lists():
        with locks.only_one_scoring():
            prepared = prepare()
            users, _ = users_to_score(prepared.model, get_settings().serving)
            score_arms(prepared.catalogue, prepared.popular, users, only=missing, write=write)
