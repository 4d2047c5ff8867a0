"""Scores every active user into one new generation of stored lists."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import psycopg
import redis
from psycopg import sql

from models.registry import registry
from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import copy_connection, unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.stored_lists.codec import StoredList, pack
from recsys.domains.recommendations.stored_lists.rows import settle, write_rows
from recsys.errors import NotFound, Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings
from serving.batch.list_builder import Batch
from serving.batch.packed_columns import read_integers
from serving.catalogue.catalogue import Catalogue
from serving.catalogue.refresher import CatalogueRefresher
from serving.ranking.popularity import PopularProducts
from serving.state.active_model import LoadedModel

__all__ = ["Report", "score", "score_if_needed"]

USERS_PER_BATCH = 1_024
"""Bounds the memory: a batch holds a few lists, histories and touches of so many users."""
_log = get_logger(__name__)
_USERS = sql.SQL(
    """
    SELECT u.id FROM users_db.users u
    WHERE u.is_active AND EXISTS (SELECT FROM recommendations_db.user_interactions i WHERE i.user_id = u.id)
    ORDER BY u.id
    """
)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """What a scoring did. `redis` is False when the lists are in PostgreSQL only."""

    generation: int
    model: str
    version: str
    users: int
    rows: int
    filled: int
    redis: bool
    seconds: float


def score_if_needed(progress: Progress | None = None) -> Report | None:
    """Score, unless the live generation is of the active model and has half of its life before it."""
    settings = get_settings().serving
    with unit_of_work() as session:
        live, active = generations.live(session), registry.active(session)
    if live is not None and active is not None and live.live_at is not None:
        half = timedelta(hours=settings.expires_after_hours / 2)
        if (live.model, live.version) == (active.name, active.version) and clock.now() < live.live_at + half:
            list_cache.reconcile()
            settle()
            return None
    return score(progress)


def score(progress: Progress | None = None) -> Report:
    """Write a new generation and show it; readers see the old one until the end, then the new one.

    Raises NotFound without an active model, Unavailable when its artifact is damaged, Conflict while another
    scoring runs, or when the model was withdrawn meanwhile: its lists are then shown to nobody.
    """
    started = time.perf_counter()
    with locks.only_one_scoring():
        loaded, catalogue, popular, shown, kept = _prepare()
        name, version = loaded.registered.name, loaded.registered.version
        settings = get_settings().serving
        with unit_of_work() as session:
            generation, failed = generations.start(session, name, version)
        for left in failed:
            _log.warning("a scoring had ended half-way; its lists are removed", generation=left)
            list_cache.retire_lists(left, 0)
        gone = generations.goes(shown, kept, name)
        # a product that left a list a moment ago may still be clicked: its row goes with the next generation
        keep = [one.id for one in (shown, kept) if one is not None and (one is shown or one.id != gone)]
        lists = _Lists(generation, int(settings.expires_after_hours * 3600))
        filled = 0
        try:
            with copy_connection() as connection:
                users = read_integers(connection, _USERS, ["id"])[0].astype(np.int64)
            with _Writer(lists) as writer:
                for first in range(0, users.size, USERS_PER_BATCH):
                    part = users[first : first + USERS_PER_BATCH]
                    batch = Batch(loaded, catalogue, popular, settings, part)
                    made_at = int(clock.now().timestamp())
                    lists.remember(part.tolist())
                    with copy_connection() as connection:
                        finished = batch.lists(connection)
                    writer.write(
                        {
                            user: pack(StoredList(generation, name, version, one.any, made_at, one.new))
                            for user, one in finished.items()
                        }
                    )
                    filled += batch.filled
                    if progress is not None:
                        progress(min(first + USERS_PER_BATCH, users.size), users.size)
            expires = clock.now() + timedelta(hours=settings.expires_after_hours)
            with unit_of_work() as session:
                people, rows = write_rows(session, generation, expires_at=expires, keep=keep)
                generations.go_live(
                    session,
                    generation,
                    model=name,
                    before=None if shown is None else shown.id,
                    users=people,
                    rows=rows,
                    expires_at=expires,
                )
        except Exception:
            with unit_of_work() as session:
                generations.give_up(session, generation)
            list_cache.retire_lists(generation, 0)
            raise
        # also when lists are missing: readers then take theirs from PostgreSQL, of the same generation
        followed = list_cache.follow(generation)
        lists.forget_recent()
        if gone is not None:
            list_cache.retire_lists(gone)
    seconds = time.perf_counter() - started
    return Report(generation, name, version, people, rows, filled, lists.well and followed, seconds)


def _prepare() -> tuple[
    LoadedModel, Catalogue, PopularProducts, generations.Generation | None, generations.Generation | None
]:
    feed = CatalogueRefresher()
    with unit_of_work() as session:
        registered = registry.active(session)
        live, former = generations.live(session), generations.former(session)
        feed.refresh(session)
        popular = PopularProducts.count(session)
    if registered is None:
        raise NotFound(
            "no model is active, so nobody can be scored; run `recsys train run`, then promote its model"
        )
    return (
        LoadedModel(registered, registry.load(registered)),
        feed.current,
        popular,
        live,
        former,
    )


class _Writer:
    """Stores each batch on a thread of its own while the next one is scored; at most one waits."""

    def __init__(self, lists: _Lists) -> None:
        self._lists = lists
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown(wait=True)
        if error[0] is None:
            self._finish()

    def write(self, packed: Mapping[int, bytes]) -> None:
        """Store these lists soon. Raises what storing the ones before has raised."""
        self._finish()
        self._last = self._thread.submit(self._store, packed)

    def _finish(self) -> None:
        if self._last is not None:
            self._last.result()

    def _store(self, packed: Mapping[int, bytes]) -> None:
        with copy_connection() as connection:
            self._lists.add(connection, packed)


class _Lists:
    """Where finished lists go; when Redis fails, PostgreSQL goes on alone and the log says so."""

    def __init__(self, generation: int, seconds: int) -> None:
        self.generation, self.seconds, self.well = generation, seconds, True
        self._recent: dict[int, set[bytes]] = {}

    def remember(self, users: list[int]) -> None:
        """Note what Redis knows of these users' last deeds, right before they are read for their lists."""
        try:
            pipeline = get_redis().pipeline(transaction=False)
            for user in users:
                pipeline.smembers(keys.recent_interactions(user))
            found = zip(users, pipeline.execute(), strict=True)
            self._recent |= {user: members for user, members in found if members}
        except (redis.RedisError, OSError, Unavailable) as error:
            _log.warning("recent interactions stay in Redis", error=str(error))

    def forget_recent(self) -> None:
        """The lists that are shown now know of it: they may be taken again as they are stored."""
        try:
            pipeline = get_redis().pipeline(transaction=False)
            for user, members in self._recent.items():
                pipeline.srem(keys.recent_interactions(user), *members)
            pipeline.execute()
        except (redis.RedisError, OSError, Unavailable) as error:
            _log.warning("recent interactions stay in Redis", error=str(error))

    def add(self, connection: psycopg.Connection, packed: Mapping[int, bytes]) -> None:
        generations.store_lists(connection, self.generation, packed)
        if not self.well:
            return
        try:
            list_cache.write_lists(self.generation, packed, self.seconds)
        except (redis.RedisError, OSError, Unavailable) as error:
            self.well = False
            _log.error("Redis does not take the lists; answers will come from PostgreSQL", error=str(error))
