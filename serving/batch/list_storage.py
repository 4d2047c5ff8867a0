"""Writes the lists of users into a generation: scored in batches, stored in PostgreSQL and Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import redis
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import copy_connection, unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists.codec import StoredList, pack
from recsys.domains.recommendations.stored_lists.user_lists import store_lists
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings.serving import ServingSettings
from serving.batch.list_builder import UserBatch
from serving.catalogue.catalogue import Catalogue
from serving.ranking.popularity import PopularProducts
from serving.state.active_model import LoadedModel

__all__ = ["ListStorage", "Progress", "UserListWriter", "WrittenLists", "write_user_lists"]

USERS_PER_BATCH = 1_024
"""Bounds the memory: a batch holds the lists, histories and interactions of this many users."""
_log = get_logger(__name__)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class WrittenLists:
    """Number of users whose lists were made, and of those whose lists popular products completed."""

    lists: int
    filled: int


class UserListWriter(Protocol):
    """Scores users and stores their lists: `write_user_lists`, or Spark's.

    Parameters
    ----------
    users : int64, shape (users,)
        Who is scored.
    recent
        Whether recent interactions are noted, for `ListStorage.forget_recent`.
    progress
        Called with the number of users who are scored by then, and of all.
    """

    def __call__(
        self,
        model: LoadedModel,
        catalogue: Catalogue,
        popular: PopularProducts,
        settings: ServingSettings,
        users: npt.NDArray[np.int64],
        storage: ListStorage,
        *,
        recent: bool = False,
        progress: Progress | None = None,
    ) -> WrittenLists:
        """Raise what scoring and storing raise; the generation is then given up."""


def write_user_lists(
    model: LoadedModel,
    catalogue: Catalogue,
    popular: PopularProducts,
    settings: ServingSettings,
    users: npt.NDArray[np.int64],
    storage: ListStorage,
    *,
    recent: bool = False,
    progress: Progress | None = None,
) -> WrittenLists:
    """Score users and store their lists; at most one batch waits for its storage.

    Parameters
    ----------
    users : int64, shape (users,)
        Who is scored.
    recent
        Whether recent interactions are noted, for `ListStorage.forget_recent`.
    progress
        Called after each batch with the number of users who are scored by then, and of all.
    """
    name, version = model.registered.name, model.registered.version
    made, filled = 0, 0
    with _BackgroundWriter(storage) as writer:
        for start in range(0, users.size, USERS_PER_BATCH):
            users_of_batch = users[start : start + USERS_PER_BATCH]
            batch = UserBatch(model, catalogue, popular, settings, users_of_batch)
            made_at = int(clock.now().timestamp())
            if recent:
                storage.note_recent(users_of_batch.tolist())
            with copy_connection("recommendations") as connection:
                lists_by_user = batch.lists(connection)
            writer.write(
                {
                    user: pack(StoredList(storage.generation, name, version, lists.any, made_at, lists.new))
                    for user, lists in lists_by_user.items()
                }
            )
            made += len(lists_by_user)
            filled += batch.filled
            if progress is not None:
                progress(min(start + USERS_PER_BATCH, users.size), users.size)
    return WrittenLists(made, filled)


class _BackgroundWriter:
    """Stores each batch in another thread while the next one is scored; at most one batch waits."""

    def __init__(self, storage: ListStorage) -> None:
        self._storage = storage
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def __enter__(self) -> _BackgroundWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown(wait=True)
        if error[0] is None:
            self._finish()

    def write(self, packed: Mapping[int, bytes]) -> None:
        """Store these lists in the background. Raises what storing the previous lists raised."""
        self._finish()
        self._last = self._thread.submit(self._store, packed)

    def _finish(self) -> None:
        if self._last is not None:
            self._last.result()

    def _store(self, packed: Mapping[int, bytes]) -> None:
        with unit_of_work() as session:
            self._storage.add(session, packed)


class ListStorage:
    """Stores finished lists; when Redis fails, in PostgreSQL only, with an error in the log."""

    def __init__(self, generation: int, seconds: int, *, in_redis: bool = True) -> None:
        """Begin without lists.

        Parameters
        ----------
        generation
            Which the lists are of.
        seconds
            How long they are valid in Redis.
        in_redis
            False for lists that are stored in PostgreSQL only.
        """
        self.generation, self.seconds, self.redis_available = generation, seconds, in_redis
        self.recent: dict[int, set[bytes]] = {}
        """What was noted of whose list is stored, by user."""

    def note_recent(self, users: list[int]) -> None:
        """Note the recent interactions of these users in Redis, right before their histories are read."""
        try:
            pipeline = get_redis().pipeline(transaction=False)
            for user in users:
                pipeline.smembers(keys.recent_interactions(user))
            recent = zip(users, pipeline.execute(), strict=True)
            self.recent |= {user: members for user, members in recent if members}
        except (redis.RedisError, OSError, Unavailable) as error:
            _log.warning("recent interactions stay in Redis", error=str(error))

    def forget_recent(self) -> None:
        """Remove the noted interactions from Redis: the lists that are live now consider them."""
        try:
            pipeline = get_redis().pipeline(transaction=False)
            for user, members in self.recent.items():
                pipeline.srem(keys.recent_interactions(user), *members)
            pipeline.execute()
        except (redis.RedisError, OSError, Unavailable) as error:
            _log.warning("recent interactions stay in Redis", error=str(error))

    def add(self, session: Session, packed: Mapping[int, bytes]) -> None:
        """Store packed lists by user, of those who still want them."""
        stored = store_lists(session, self.generation, packed)
        for user, made in packed.items():
            # a former list of the same user, whose writer was slower, need not consider what was noted here
            if stored.get(user) is not made:
                self.recent.pop(user, None)
        if not self.redis_available:
            return
        try:
            list_cache.write_lists(self.generation, stored, self.seconds)
        except (redis.RedisError, OSError, Unavailable) as error:
            self.redis_available = False
            _log.error("Redis does not take the lists; answers will come from PostgreSQL", error=str(error))
