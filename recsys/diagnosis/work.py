"""Examinations of work on its way: events, dead letters, queued writes, schedules, and the search index.

Work that waits for a moment is no fault: each examination looks at how long it has waited.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import redis
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import connect, redis_url
from recsys.diagnosis.finding import Finding, ago, in_words
from recsys.errors import RecsysError
from recsys.jobs import service
from recsys.observation.database_samples import job_figures, unsent_events
from recsys.observation.redis_samples import QUEUES, dead_letters, oldest_seconds, places
from recsys.search.backends.base import SearchDown
from recsys.search.backends.factory import chosen
from recsys.settings import Settings

__all__ = ["dead_events", "events", "schedules", "search_index", "write_buffer"]

_EVENTS_SECONDS = 300.0
_WRITES_SECONDS = 180.0
"""Feedback waits for its list for up to a minute (`intake.patience_seconds`) while all is well."""
_FEW_PRODUCTS, _FEW_SHARE = 100, 0.05
_FAILURES = 2
_OVERDUE_INTERVALS, _OVERDUE_SECONDS = 2.5, 6 * 3600.0
"""A job is overdue after so many pauses of its schedule, and never before so many seconds."""
_PRODUCTS = text("SELECT count(*) FROM products_db.products")


def events(settings: Settings, connection: Connection) -> Finding:
    """How long the oldest event has waited for the relay, and the oldest entry for its group."""
    part = "events"
    unsent, waited = unsent_events(connection)
    if waited > _EVENTS_SECONDS:
        found = f"{unsent:,} events wait for the relay, the oldest for {in_words(waited)}"
        return Finding(part, "attention", found, "recsys relay")
    with connect(redis_url(settings)) as client:
        standing = list(places(client))
    lost = [each for each in standing if each.lost]
    if lost:
        found = f"{lost[0].stream} was trimmed before {lost[0].group} read {lost[0].lost:,} entries"
        return Finding(part, "attention", found, "recsys events replay --since MOMENT")
    slowest = max(standing, key=lambda each: each.oldest_seconds, default=None)
    if slowest is not None and slowest.oldest_seconds > _EVENTS_SECONDS:
        found = (
            f"the oldest entry of {slowest.stream} waits {in_words(slowest.oldest_seconds)} for a consumer"
        )
        return Finding(part, "attention", found, f"recsys consume {slowest.group}")
    return Finding(part, "ok", "events are handled as they come")


def dead_events(settings: Settings, connection: Connection) -> Finding:
    """Events that no retry could handle: each is work that was not done."""
    posts = set(QUEUES.values())
    with connect(redis_url(settings)) as client:
        counts = {stream: count for stream, count in dead_letters(client).items() if stream not in posts}
    present = {stream: count for stream, count in counts.items() if count}
    if not present:
        return Finding("dead letters", "ok", "there are none")
    listed = ", ".join(f"{count:,} of {stream}" for stream, count in present.items())
    return Finding(
        "dead letters", "attention", listed, "recsys events dead, then recsys events replay --dead all"
    )


def write_buffer(settings: Settings, connection: Connection) -> Finding:
    """What waits in Redis and on this machine's disk for PostgreSQL."""
    part, remedy = "write buffer", "recsys serve intake; it runs inside `recsys serve api` in development"
    try:
        with connect(redis_url(settings)) as client:
            waiting: Any = client.xlen(keys.posts_waiting())
            waited = max(oldest_seconds(client, stream) for stream in QUEUES.values())
            dead = sum(dead_letters(client)[stream] for stream in QUEUES.values())
    except (redis.RedisError, RecsysError):
        return Finding(part, "attention", "Redis does not answer", "mend Redis first")
    if waited > _WRITES_SECONDS:
        found = f"{waiting:,} posts wait for PostgreSQL, the oldest entry for {in_words(waited)}"
        return Finding(part, "attention", found, remedy)
    if dead:
        found = f"{dead:,} posts could not be stored"
        return Finding(part, "attention", found, "recsys serve intake --dead says why")
    spooled = [path.stat().st_mtime for path in (settings.var / "spool").glob("*/*.waiting")]
    spooled_seconds = clock.now().timestamp() - min(spooled, default=float("inf"))
    if spooled_seconds > _WRITES_SECONDS:
        found = f"{len(spooled):,} files wait on disk, the oldest for {in_words(spooled_seconds)}"
        return Finding(part, "attention", found, remedy)
    return Finding(part, "ok", f"{waiting:,} posts wait for PostgreSQL" if waiting else "nothing waits")


def schedules(settings: Settings, connection: Connection) -> Finding:
    """Whether schedules are started, and jobs succeed; one failure or missed start is tried again."""
    part = "schedules"
    if not settings.jobs.schedules:
        return Finding(part, "ok", "no job has a schedule")
    with Session(connection) as session:
        alive = service.is_scheduler_alive(session)
        figures = [each for each in job_figures(session, settings) if each.job in settings.jobs.schedules]
    if not alive:
        found = "no process starts jobs, so schedules pass unused"
        return Finding(part, "attention", found, "recsys relay; `recsys serve api` does it in development")
    for each in figures:
        remedy = f"recsys jobs history --job {each.job}, then recsys jobs run {each.job}"
        since = "" if each.succeeded_at is None else f"; it last succeeded {ago(each.succeeded_at)}"
        if each.failures >= _FAILURES:
            found = f"{each.job} failed {each.failures:,} times in a row{since}"
            return Finding(part, "attention", found, remedy)
        assert each.interval_seconds is not None
        limit = timedelta(seconds=max(_OVERDUE_INTERVALS * each.interval_seconds, _OVERDUE_SECONDS))
        if each.succeeded_at is not None and clock.now() - each.succeeded_at > limit:
            return Finding(part, "attention", f"{each.job} is overdue{since}", remedy)
    return Finding(part, "ok", f"{len(settings.jobs.schedules)} jobs are started by schedules")


def search_index(settings: Settings, connection: Connection) -> Finding:
    """Whether the index answers and has about as many products as the database."""
    part, reindex = "index", "recsys search reindex"
    with Session(connection) as session:
        index = chosen(settings)
        try:
            index.ping(session)
            indexed = index.count_products(session)
        except (SearchDown, RecsysError) as error:
            return Finding(
                part, "broken", f"{index.name} does not answer: {error}", "start it, or " + reindex
            )
        products = int(session.execute(_PRODUCTS).scalar_one())
    found = f"{indexed:,} of {products:,} products are in {index.name}"
    few = max(_FEW_PRODUCTS, int(_FEW_SHARE * products))
    if (indexed == 0 and products > 0) or abs(products - indexed) > few:
        return Finding(part, "attention", found, reindex)
    return Finding(part, "ok", found)
