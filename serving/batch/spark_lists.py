"""Scores users on Spark's executors: each task writes its part of a generation to PostgreSQL and Redis.

A task is a few blocks of users. It may run twice, when its executor is lost or slow: whichever of both stores
a user's list first has stored it (`user_lists.store_lists`), so that no list is doubled and PostgreSQL and
Redis hold the same one. What becomes of the generation is decided by the command that started the tasks.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.errors import Unavailable
from recsys.settings import get_settings
from recsys.settings.serving import ServingSettings
from recsys.spark.executors import apply_environment, environment_for_executors
from recsys.spark.session import errors_of_spark
from serving.batch.list_storage import ListStorage, Progress, WrittenLists, write_user_lists
from serving.catalogue.catalogue import Catalogue
from serving.catalogue.refresher import CatalogueRefresher
from serving.ranking.popularity import PopularProducts
from serving.state.active_model import LoadedModel

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["SparkListWriter"]

BLOCKS_PER_TASK = 8
_BLOCKS = pa.schema([("users", pa.list_(pa.int64()))])
_WRITTEN = pa.schema(
    [
        ("lists", pa.int64()),
        ("filled", pa.int64()),
        ("redis", pa.bool_()),
        ("users", pa.list_(pa.int64())),
        ("recent", pa.list_(pa.list_(pa.binary()))),
    ]
)
_WRITTEN_SQL = "lists bigint, filled bigint, redis boolean, users array<bigint>, recent array<array<binary>>"


@dataclass(frozen=True)
class _Task:
    """What an executor needs to know; plain values, since Spark sends them.

    Attributes
    ----------
    scoring
        A name that no other scoring has.
    checksum
        Of the model's artifact where the scoring was started.
    seconds, in_redis
        As in `ListStorage`.
    note_recent
        As `recent` in `write_user_lists`.
    """

    scoring: str
    environment: Mapping[str, str]
    model: str
    checksum: str
    generation: int
    seconds: int
    note_recent: bool
    in_redis: bool


class SparkListWriter:
    """Does what `write_user_lists` does, with the same arguments, on the executors of a session."""

    def __init__(self, session: SparkSession) -> None:
        self._session = session

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
        """Raise Unavailable when a task fails for good; executors read the catalogue themselves."""
        if not users.size:
            return WrittenLists(0, 0)
        task = _Task(
            secrets.token_hex(8),
            environment_for_executors(),
            model.registered.name,
            model.registered.checksum,
            storage.generation,
            storage.seconds,
            recent,
            storage.redis_available,
        )
        per_task = get_settings().spark.users_per_task
        tasks = -(-users.size // per_task)
        blocks = np.array_split(users, min(users.size, tasks * BLOCKS_PER_TASK))
        frame = self._session.createDataFrame(
            pa.table([[block.tolist() for block in blocks]], schema=_BLOCKS)
        )
        with errors_of_spark("did not score all users"):
            done = frame.repartition(tasks).mapInArrow(_writer_of(task), _WRITTEN_SQL).toArrow()
        for in_redis, of_users, members in zip(
            *(done.column(name).to_pylist() for name in ("redis", "users", "recent")), strict=True
        ):
            storage.redis_available &= in_redis
            storage.recent |= {user: set(each) for user, each in zip(of_users, members, strict=True)}
        lists, filled = (sum(done.column(name).to_pylist()) for name in ("lists", "filled"))
        if progress is not None:
            progress(users.size, users.size)
        return WrittenLists(lists, filled)


def _writer_of(task: _Task) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _write(task, batch.column("users").flatten().to_numpy())

    return write


def _write(task: _Task, users: npt.NDArray[np.int64]) -> pa.RecordBatch:
    """Score these users on this executor."""
    apply_environment(task.environment)
    model, catalogue, popular = _prepared(task)
    storage = ListStorage(task.generation, task.seconds, in_redis=task.in_redis)
    written = write_user_lists(
        model, catalogue, popular, get_settings().serving, users, storage, recent=task.note_recent
    )
    recent = storage.recent
    columns: list[list[Any]] = [
        [written.lists],
        [written.filled],
        [storage.redis_available],
        [list(recent)],
        [[sorted(members) for members in recent.values()]],
    ]
    return pa.record_batch(
        [pa.array(each, field.type) for each, field in zip(columns, _WRITTEN, strict=True)], _WRITTEN
    )


_Prepared = tuple[LoadedModel, Catalogue, PopularProducts]
_of_scoring: dict[str, _Prepared] = {}


def _prepared(task: _Task) -> _Prepared:
    """What all tasks of a scoring need, made once in each process."""
    if task.scoring not in _of_scoring:
        _of_scoring.clear()
        refresher = CatalogueRefresher()
        with unit_of_work() as session:
            registered = registry.get(session, task.model)
            refresher.refresh(session)
            popular = PopularProducts.count(session)
        if registered.checksum != task.checksum:
            raise Unavailable(
                f"{task.model} is another model here ({registered.checksum[:16]}…) than where scoring was "
                f"started ({task.checksum[:16]}…); do executors read the same database?"
            )
        model = LoadedModel(registered, registry.load(registered))
        _of_scoring[task.scoring] = model, refresher.current, popular
    return _of_scoring[task.scoring]
