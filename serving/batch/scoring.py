"""Scores the users of a shop into one new generation of stored lists."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt
from psycopg import sql

from models.registry import registry
from recsys import clock
from recsys.database.session import copy_connection, unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.stored_lists.rows import settle, write_rows
from recsys.errors import NotFound
from recsys.log import get_logger
from recsys.settings import get_settings
from recsys.settings.serving import ServingSettings
from serving.batch.arm_lists import models_without_lists, score_arms
from serving.batch.list_storage import ListStorage, Progress, UserListWriter, write_user_lists
from serving.batch.packed_columns import read_integers
from serving.batch.shared_lists import data_of, write_shared_lists
from serving.catalogue.catalogue import Catalogue
from serving.catalogue.refresher import CatalogueRefresher
from serving.ranking.popularity import PopularProducts
from serving.state.active_model import LoadedModel

__all__ = ["ScoringReport", "score", "score_if_needed"]

_log = get_logger(__name__)
_USERS = sql.SQL(
    """
    SELECT u.id, (u.last_seen >= since.moment IS TRUE OR EXISTS (
        SELECT FROM recommendations_db.user_interactions i
        WHERE i.user_id = u.id AND i.created_at >= since.moment))::integer AS is_recent
    FROM users_db.users u CROSS JOIN to_timestamp(%s) AS since (moment)
    WHERE u.is_active AND EXISTS (SELECT FROM recommendations_db.user_interactions i WHERE i.user_id = u.id)
        AND NOT EXISTS (
            SELECT FROM users_db.consents c WHERE c.owner = 'user:' || u.id AND NOT c.personalisation)
    ORDER BY u.id
    """
)


@dataclass(frozen=True)
class ScoringReport:
    """The result of a scoring.

    inactive : users with interactions whose lists are not stored (`ServingSettings.stored_active_days`).
    redis : False when the lists are in PostgreSQL only.
    shared : lists that are the same for everybody, of products, categories, countries and the shop.
    arms : lists of the models of a running experiment, by model.
    """

    generation: int
    model: str
    version: str
    users: int
    rows: int
    filled: int
    redis: bool
    seconds: float
    inactive: int = 0
    shared: int = 0
    arms: dict[str, int] = field(default_factory=dict)


def score_if_needed(
    progress: Progress | None = None, *, write: UserListWriter = write_user_lists
) -> ScoringReport | None:
    """Score, unless the live generation is of the active model and less than half of its life is over.

    None where nothing was scored, as in a new shop without an active model.
    """
    settings = get_settings().serving
    with unit_of_work() as session:
        live, active = generations.live(session), registry.active(session)
    if active is None:
        return None
    if live is not None and live.live_at is not None:
        half = timedelta(hours=settings.expires_after_hours / 2)
        if (live.model, live.version) == (active.name, active.version) and clock.now() < live.live_at + half:
            list_cache.reconcile()
            settle()
            _score_missing_arms(settings, write)
            return None
    return score(progress, write=write)


def score(progress: Progress | None = None, *, write: UserListWriter = write_user_lists) -> ScoringReport:
    """Write a new generation of stored lists and make it live; until then readers get the previous one.

    write : what scores users and stores their lists, on this machine or on several.
    Raises NotFound without an active model, Unavailable when its artifact is damaged, Conflict while another
    scoring runs, or when the model was withdrawn meanwhile: its lists then do not become live.
    """
    started = time.perf_counter()
    with locks.only_one_scoring():
        model, catalogue, popular, live, former = _prepare()
        name, version = model.registered.name, model.registered.version
        settings = get_settings().serving
        with unit_of_work() as session:
            generation, failed = generations.start(session, name, version)
        for abandoned in failed:
            _log.warning("a scoring did not finish; its lists are removed", generation=abandoned)
            list_cache.retire_lists(abandoned, 0)
        retired = generations.goes(live, former, name)
        # a product of the previous list may still be clicked: its row is deleted with the next generation
        keep = [
            stored.id
            for stored in (live, former)
            if stored is not None and (stored is live or stored.id != retired)
        ]
        storage = ListStorage(generation, int(settings.expires_after_hours * 3600))
        try:
            users, inactive = _users_to_score(model, settings)
            filled = write(
                model, catalogue, popular, settings, users, storage, recent=True, progress=progress
            ).filled
            shared = write_shared_lists(generation, data_of(model, catalogue), storage.seconds)
            expires = clock.now() + timedelta(hours=settings.expires_after_hours)
            with unit_of_work() as session:
                user_count, rows = write_rows(session, generation, expires_at=expires, keep=keep)
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
        arms = score_arms(catalogue, popular, users, write=write)
        storage.forget_recent()
        if retired is not None:
            list_cache.retire_lists(retired)
    seconds = time.perf_counter() - started
    return ScoringReport(
        generation,
        name,
        version,
        user_count,
        rows,
        filled,
        storage.redis_available and is_shown,
        seconds,
        inactive,
        shared,
        arms,
    )


def _score_missing_arms(settings: ServingSettings, write: UserListWriter) -> None:
    """Store the lists of an experiment that began since the last scoring."""
    if missing := models_without_lists():
        with locks.only_one_scoring():
            model, catalogue, popular, _, _ = _prepare()
            users, _ = _users_to_score(model, settings)
            score_arms(catalogue, popular, users, only=missing, write=write)


def _users_to_score(model: LoadedModel, settings: ServingSettings) -> tuple[npt.NDArray[np.int64], int]:
    """Return the users whose lists are stored, int64, ascending, and how many are left out as inactive.

    The days count back from the end of the training data, not from today: in a shop whose newest interactions
    are old, such as imported ones, the last users to come are active.
    """
    days = settings.stored_active_days
    since = model.model.moment_ / 1e6 - days * 86_400 if days else -np.inf
    with copy_connection() as connection:
        users, is_recent = read_integers(connection, _USERS, ["id", "is_recent"], [float(since)])
    # without a limit also users whose interactions have no time
    stored = users[is_recent > 0] if days else users
    return stored.astype(np.int64), int(users.size - stored.size)


def _prepare() -> tuple[
    LoadedModel, Catalogue, PopularProducts, generations.Generation | None, generations.Generation | None
]:
    refresher = CatalogueRefresher()
    with unit_of_work() as session:
        registered = registry.active(session)
        live, former = generations.live(session), generations.former(session)
        refresher.refresh(session)
        popular = PopularProducts.count(session)
    if registered is None:
        raise NotFound(
            "no model is active, so no user can be scored; run `recsys train run`, then promote its model"
        )
    return (
        LoadedModel(registered, registry.load(registered)),
        refresher.current,
        popular,
        live,
        former,
    )
