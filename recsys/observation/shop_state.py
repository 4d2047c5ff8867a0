"""The figures of the whole shop for `/metrics`, read from its stores when they are scraped.

They belong to no process: whichever worker answers, they are the same, and a worker that died takes none
with it. They are read at most once in `FRESH_SECONDS`, so that a scraper cannot load the stores.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from recsys.artifacts.store import artifact_store
from recsys.cache.client import get_redis
from recsys.database.session import unit_of_work
from recsys.errors import RecsysError
from recsys.log import get_logger
from recsys.observation.database_samples import from_database, live_generation_id
from recsys.observation.features_snapshot import SnapshotFault, read_snapshot
from recsys.observation.redis_samples import from_redis
from recsys.observation.samples import Sample, as_families
from recsys.search.backends.base import SearchDown
from recsys.search.backends.factory import chosen
from recsys.settings import Settings, get_settings

__all__ = ["FRESH_SECONDS", "ShopState"]

FRESH_SECONDS = 5.0
_QUERY_SECONDS = 2.0
_ABSENCES = (RecsysError, SQLAlchemyError, RedisError, OSError)
_log = get_logger(__name__)


class ShopState(Collector):
    """A collector of Prometheus' client; a store that is away contributes none."""

    def __init__(self, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._fresh_seconds = fresh_seconds
        self._reading = threading.Lock()
        self._read_at = float("-inf")
        self._families: list[GaugeMetricFamily] = []

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: registering must not ask the stores."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families of now, or of a moment ago."""
        with self._reading:
            if time.monotonic() - self._read_at >= self._fresh_seconds:
                self._families = list(as_families(_read(get_settings())))
                self._read_at = time.monotonic()
            return iter(self._families)


def _read(settings: Settings) -> Iterator[Sample]:
    generation: int | None = None
    samples: list[Sample] = []
    try:
        with unit_of_work(seconds=_QUERY_SECONDS) as session:
            generation = live_generation_id(session)
            samples = list(from_database(session, settings))
    except _ABSENCES as error:
        _log.warning("figures of PostgreSQL are missing", error=str(error).partition("\n")[0])
    yield from samples
    yield _is_up("postgresql", bool(samples))
    try:
        samples = list(from_redis(get_redis(), generation))
    except _ABSENCES as error:
        samples = []
        _log.warning("figures of Redis are missing", error=str(error))
    yield from samples
    yield _is_up("redis", bool(samples))
    yield _is_up("search", _search_answers(settings))
    yield from _artifacts(settings)
    yield from _files(settings)


def _is_up(server: str, answers: bool) -> Sample:
    return Sample("recsys_server_up", float(answers), (("server", server),))


def _search_answers(settings: Settings) -> bool:
    try:
        with unit_of_work(seconds=_QUERY_SECONDS) as session:
            chosen(settings).ping(session)
    except (SearchDown, *_ABSENCES):
        return False
    return True


def _artifacts(settings: Settings) -> Iterator[Sample]:
    store = artifact_store(settings)
    yield Sample("recsys_artifact_cache_bytes", store.cached_bytes() if store.is_shared else 0)
    if not store.is_shared:
        return
    try:
        store.check()
        answers = True
    except RecsysError as error:
        answers = False
        _log.warning("the store of artifacts is away", reason=error.message)
    yield _is_up("artifacts", answers)


def _files(settings: Settings) -> Iterator[Sample]:
    try:
        snapshot = read_snapshot(settings)
    except SnapshotFault:
        # there is none, or `recsys doctor` says what is wrong with it
        snapshot = None
    if snapshot is not None:
        yield Sample("recsys_features_built_timestamp_seconds", snapshot.built_at.timestamp())
        yield Sample("recsys_features_until_timestamp_seconds", snapshot.moment.timestamp())
    yield Sample("recsys_spool_bytes", sum(_size_of(settings)))
    try:
        disk = shutil.disk_usage(settings.var)
    except OSError as error:
        _log.warning("the disk of RECSYS_VAR cannot be measured", error=str(error))
        return
    yield Sample("recsys_disk_free_bytes", disk.free)
    yield Sample("recsys_disk_size_bytes", disk.total)


def _size_of(settings: Settings) -> Iterator[int]:
    for path in (settings.var / "spool").glob("*/*.waiting"):
        try:
            yield path.stat().st_size
        except FileNotFoundError:
            # it was drained meanwhile
            continue
