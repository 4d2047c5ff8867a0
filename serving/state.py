"""What one API process holds in memory, and how it is kept fresh in the background."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import redis.asyncio
from anyio import to_thread
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from recsys.cache import keys
from recsys.cache.client import redis_url
from recsys.database.session import unit_of_work
from recsys.errors import RecsysError
from recsys.log import get_logger
from serving import storage
from serving.active_model import ActiveModel
from serving.catalogue import CatalogueFeed
from serving.popular import Popular

__all__ = ["State", "running_state"]

POINTER_SECONDS = 1.0
MODEL_SECONDS = 2.0
CATALOGUE_SECONDS = 2.0
POPULAR_SECONDS = 60.0
RECONCILE_SECONDS = 10.0
_log = get_logger(__name__)


@dataclass
class State:
    """Everything an answer needs but the user's own list; read by requests, written by the background."""

    redis: redis.asyncio.Redis
    catalogue: CatalogueFeed = field(default_factory=CatalogueFeed)
    model: ActiveModel = field(default_factory=ActiveModel)
    popular: Popular = field(default_factory=Popular.none)
    generation: int | None = None
    redis_well: bool = True
    """Whether the last word to Redis was answered; while it was not, answers do not wait for it."""

    def refresh_catalogue(self) -> None:
        """Prices, stock, new products. Raises Unavailable."""
        with unit_of_work() as session:
            self.catalogue.refresh(session)

    def refresh_popular(self) -> None:
        """Count anew what is popular. Raises Unavailable."""
        with unit_of_work() as session:
            self.popular = Popular.count(session)

    def refresh_model(self) -> None:
        """Notice a promotion. Raises Unavailable."""
        self.model.refresh()

    def reconcile(self) -> None:
        """Make Redis and PostgreSQL agree on the live generation, after a crash of either."""
        storage.reconcile()

    async def refresh_generation(self) -> None:
        """Which generation Redis shows. Raises RedisError."""
        try:
            shown = await self.redis.get(keys.live_generation())
        except (RedisError, OSError):
            self.redis_well = False
            raise
        self.redis_well = True
        self.generation = int(shown) if shown is not None and shown.isdigit() else None


def _redis_client() -> redis.asyncio.Redis:
    # an answer waits half a second at most and tries one new connection; PostgreSQL has the list as well
    return redis.asyncio.Redis.from_url(
        redis_url(), socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 1)
    )


@asynccontextmanager
async def running_state() -> AsyncIterator[State]:
    """A state that was filled once and stays fresh until the end of the block.

    Raises Unavailable when PostgreSQL cannot be reached; without Redis or a model it starts all the same.
    """
    state = State(_redis_client())
    tasks: list[asyncio.Task[None]] = []
    try:
        await to_thread.run_sync(state.refresh_catalogue)
        await to_thread.run_sync(state.refresh_popular)
        await to_thread.run_sync(state.refresh_model)
        try:
            await to_thread.run_sync(state.reconcile)
            await state.refresh_generation()
        except (RedisError, OSError, RecsysError) as error:
            state.redis_well = False
            _log.error("starting without Redis; lists come from PostgreSQL", error=str(error))
        tasks = [
            asyncio.create_task(_repeat(name, seconds, step)) for name, seconds, step in _background(state)
        ]
        yield state
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(RedisError, OSError):
            await state.redis.aclose()


def _background(state: State) -> list[tuple[str, float, Callable[[], object]]]:
    return [
        ("generation", POINTER_SECONDS, state.refresh_generation),
        ("model", MODEL_SECONDS, state.refresh_model),
        ("catalogue", CATALOGUE_SECONDS, state.refresh_catalogue),
        ("popular", POPULAR_SECONDS, state.refresh_popular),
        ("reconcile", RECONCILE_SECONDS, state.reconcile),
    ]


async def _repeat(name: str, seconds: float, step: Callable[[], object]) -> None:
    failing = False
    while True:
        await asyncio.sleep(seconds)
        started = time.monotonic()
        try:
            if asyncio.iscoroutinefunction(step):
                await step()
            else:
                await to_thread.run_sync(step)
        except (RedisError, OSError, RecsysError, SQLAlchemyError) as error:
            if not failing:  # said once when it begins, once when it ends
                _log.error(
                    "a background refresh fails; the last state goes on serving", part=name, error=str(error)
                )
            failing = True
        else:
            if failing:
                _log.info("a background refresh works again", part=name)
            failing = False
        _log.debug("background refresh", part=name, seconds=round(time.monotonic() - started, 3))
