"""The erasure of a person from every place, in an order in which nothing comes back.

1. PostgreSQL, in one transaction: tombstones, models that learned from the person, then every table. Before
   its commit, what leads to the person goes into a private file, for a second call to complete a failed one.
2. Redis, the search index, files below `var/`, what is published in the store of artifacts.
3. When every transaction that was running at 1 has ended, tables, Redis and files once more: what such a
   transaction wrote or logged without seeing the tombstone. Every later one sees it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.artifacts.store import artifact_store
from recsys.cache.client import get_redis, servers
from recsys.database.addresses import database_url
from recsys.database.session import get_engine, other_engines, reaching, unit_of_work
from recsys.domains.products import cache as product_cache
from recsys.domains.users import administration
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.own_ids.resolver import own_ids_changed
from recsys.privacy import person as people
from recsys.privacy import tombstones, trained_models, unfinished
from recsys.privacy.person import Person
from recsys.privacy.places import job_logs, searches
from recsys.privacy.places.published import ALL_FILE_PLACES
from recsys.privacy.places.redis_keys import KEY_PLACES, searches_of
from recsys.privacy.places.tables import TABLE_PLACES
from recsys.privacy.receipts import ErasureReceipt, ModelDate, PlaceCount, person_reference, signed
from recsys.search.backends.factory import chosen
from recsys.settings import get_settings

__all__ = ["INDEX", "erase", "preview"]

INDEX = "search index"
_PATIENCE_SECONDS = 5.0
_log = get_logger(__name__)
_REVIEWED = text("SELECT DISTINCT product_id FROM products_db.product_reviews WHERE user_id = :user")
# what is prepared on another server is committed after the transaction that it belongs to
_OLDER = text(
    """
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid() AND xact_start < :moment)
    OR EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database() AND prepared < :moment)
    """
)
_MOMENT = text("SELECT clock_timestamp()")


@dataclass
class _Counts:
    """How much was removed or anonymised, by place."""

    removed: Counter[str] = field(default_factory=Counter)
    anonymised: set[str] = field(default_factory=set)

    def places(self) -> list[PlaceCount]:
        return [
            PlaceCount(
                place=name, outcome="anonymised" if name in self.anonymised else "removed", count=count
            )
            for name, count in self.removed.items()
        ]


def erase(user_id: int, *, by: int | None, requested_by: str) -> ErasureReceipt:
    """Erase a person; erasing again is harmless, and removes what came back.

    Parameters
    ----------
    by
        The administrator who acts; None for a command, a key, and the person.
    requested_by
        What the receipt says of it.

    Raises
    ------
    NotFound
        There never was such a user.
    Conflict
        It is the administrator's own account, or the last administrator's.
    Unavailable
        PostgreSQL, Redis, the search index or the store of artifacts does not answer; nothing is erased, or,
        where it went away meanwhile, the rest: erase again.
    """
    client, counts = _reached(), _Counts()
    with unit_of_work() as session:
        chosen().ping(session)
        person = people.find(session, user_id)
        if person.is_known:
            administration.lock_removable(session, user_id, by)
            # read again: the lock kept out what was still being written
            person = people.find(session, user_id)
        else:
            person = unfinished.load(person)
        moment = clock.now()
        reviewed = [each for each in session.scalars(_REVIEWED, {"user": user_id}) if each is not None]
        marked = trained_models.mark(session, person, moment)
        is_training = trained_models.training_runs(session)
        tombstones.bury(session, person.identifiers, moment)
        counts.removed[searches.NAME] = searches.erase(session, searches_of(client, person))
        _erase_tables(session, person, counts)
        own_ids_changed(session)
        unfinished.save(person)
        committed_before = session.scalar(_MOMENT)
    _erase_keys(client, person, counts)
    _erase_from_index(person, reviewed, counts)
    _erase_files(person, counts)
    notes = _wait_for_older(committed_before)
    with unit_of_work() as session:
        _erase_tables(session, person, counts)
        dates = {each.name: each.retrain_by for each in trained_models.marked(session)}
    _erase_keys(client, person, counts)
    left = _erase_files(person, counts)
    if not left:
        unfinished.forget(user_id)
    notes += left + _rewrite_persistence(client)
    if is_training:
        notes.append(
            "A training ran meanwhile, which may have read the person's data before: its models are marked "
            "when they are registered (`recsys privacy models`), with the date by which others replace them."
        )
    _log.info("a person was erased", places=sum(map(bool, counts.removed.values())), models=len(marked))
    return signed(
        ErasureReceipt(
            receipt=uuid4(),
            person=person_reference(user_id),
            erased_at=moment,
            requested_by=requested_by,
            places=counts.places(),
            models=[ModelDate(name=each, retrain_by=dates[each]) for each in marked if each in dates],
            notes=notes,
        )
    )


def preview(user_id: int) -> list[PlaceCount]:
    """What an erasure would remove from tables, Redis and files; changes nothing. Raises NotFound."""
    client, counts, settings = _reached(), _Counts(), get_settings()
    with unit_of_work() as session:
        person = people.find(session, user_id)
        for place in TABLE_PLACES:
            counts.removed[place.name] = place.count(session, person)
            if place.cleared:
                counts.anonymised.add(place.name)
        counts.removed[job_logs.NAME] = sum(1 for _ in job_logs.rows(session, person))
    for key, key_place in KEY_PLACES.items():
        counts.removed[f"redis: {key}"] = len(key_place.read(client, person))
    for name, file_place in ALL_FILE_PLACES.items():
        counts.removed[name] = len(file_place.read(settings, person))
    return counts.places()


def _reached() -> redis.Redis:
    client = get_redis()
    try:
        client.ping()
    except (RedisError, OSError) as error:
        message = "Redis does not answer; nobody is erased while a store is away. Try again later."
        raise Unavailable(message, public=message) from error
    artifact_store().check()
    return client


def _erase_tables(session: Session, person: Person, counts: _Counts) -> None:
    for place in TABLE_PLACES:
        counts.removed[place.name] += place.erase(session, person)
        if place.cleared:
            counts.anonymised.add(place.name)
    counts.removed[job_logs.NAME] += job_logs.erase(session, person)
    counts.anonymised.add(job_logs.NAME)


def _erase_keys(client: redis.Redis, person: Person, counts: _Counts) -> None:
    try:
        for name, place in KEY_PLACES.items():
            counts.removed[f"redis: {name}"] += place.erase(client, person)
    except (RedisError, OSError) as error:
        raise _incomplete("Redis") from error


def _erase_files(person: Person, counts: _Counts) -> list[str]:
    """A note for each file or folder that could not be cleaned."""
    failures: list[str] = []
    for name, place in ALL_FILE_PLACES.items():
        try:
            counts.removed[name] += place.erase(get_settings(), person, failures)
        except (OSError, ValueError) as error:
            failures.append(f"{name}: {error}")
    return [f"Not cleaned, erase again when it can be read and written: {failure}" for failure in failures]


def _erase_from_index(person: Person, reviewed: Sequence[int], counts: _Counts) -> None:
    try:
        with unit_of_work() as session:
            # what is not in the database any more is deleted from the index
            chosen().index_users(session, [person.user_id])
            chosen().index_products(session, reviewed)
    except Unavailable as error:
        raise _incomplete("the search index") from error
    counts.removed[INDEX] = int(person.is_known)
    product_cache.forget_all(reviewed)


def _incomplete(store: str) -> Unavailable:
    message = f"The person is erased from PostgreSQL, and {store} went away meanwhile: erase them again."
    return Unavailable(message, public=message)


def _wait_for_older(moment: Any) -> list[str]:
    """Wait until no transaction from before `moment` runs; a note where one takes too long."""
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        if not _any_older(moment):
            return []
        if time.monotonic() > ends_at:
            return [
                "A transaction that began before the erasure still runs; erase again when it has ended, so "
                "that nothing that it writes stays."
            ]
        time.sleep(0.05)


def _any_older(moment: Any) -> bool:
    with reaching(database_url()):
        for engine in (get_engine(), *other_engines().values()):
            with engine.connect() as connection:
                if connection.scalar(_OLDER, {"moment": moment}):
                    return True
    return False


def _rewrite_persistence(client: redis.Redis) -> list[str]:
    """Have Redis write its files again, which hold the commands of the past; a note where that is refused."""
    try:
        for server in servers(client):
            persistence: Any = server.info("persistence")
            if persistence.get("aof_enabled"):
                server.bgrewriteaof()
            elif persistence.get("rdb_last_save_time") and _saves(server):
                server.bgsave()
    except RedisError as error:
        return [
            "Redis refuses to rewrite its files now "
            f"({str(error).partition(chr(10))[0]}); they lose the person at its next rewrite."
        ]
    return []


def _saves(client: redis.Redis) -> bool:
    saves: Any = client.config_get("save")
    return bool(saves.get("save"))
