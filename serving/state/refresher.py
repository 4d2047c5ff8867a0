"""Makes the `ServingData` that requests read, and keeps it fresh by a table of background jobs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from anyio import to_thread
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from recsys import clock
from recsys.database import replica
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.errors import RecsysError, Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings
from serving.catalogue.refresher import CatalogueRefresher
from serving.ranking.cold_start import ColdStartProducts
from serving.ranking.new_products import count_new_products
from serving.ranking.popularity import PopularProducts
from serving.ranking.trending import count_trends
from serving.state.ab_assignment import AbTestRefresher, RunningTests
from serving.state.active_model import ActiveModel
from serving.state.artifact_upkeep import ArtifactUpkeep
from serving.state.auxiliary_models import AuxiliaryModelRefresher
from serving.state.product_event_listener import ProductEventListener
from serving.state.redis_connection import RedisConnection
from serving.state.rule_refresher import RuleRefresher
from serving.state.serving_data import ServingData

__all__ = ["Refresher"]

POPULAR_SECONDS = 60.0
_log = get_logger(__name__)


class _BackgroundJob(NamedTuple):
    name: str
    seconds: float
    """From the end of one run to the start of the next."""
    run: Callable[[], object]


class Refresher:
    """`data` is the newest snapshot. Each job reads one part and publishes a new snapshot with it."""

    def __init__(self) -> None:
        self.redis = RedisConnection()
        self._catalogue, self._rules = CatalogueRefresher(), RuleRefresher()
        self._model, self._auxiliary, self._tests = (
            ActiveModel(),
            AuxiliaryModelRefresher(),
            AbTestRefresher(),
        )
        self.artifacts = ArtifactUpkeep()
        self._preparing, self._exchanging = threading.Lock(), threading.Lock()
        self._position = 0
        """Where the primary's log was when products of an event were read last."""
        catalogue = self._catalogue.current
        self.data = ServingData(catalogue, self._rules.compiled(catalogue))

    @property
    def _jobs(self) -> tuple[_BackgroundJob, ...]:
        return (
            _BackgroundJob("generation", 0.25, self.refresh_generation),
            _BackgroundJob("model", 0.5, self.refresh_model),
            _BackgroundJob("auxiliary models", 10.0, self.refresh_auxiliary_models),
            _BackgroundJob("store of artifacts", 10.0, self.refresh_artifacts),
            _BackgroundJob("catalogue", 2.0, self.refresh_catalogue),
            _BackgroundJob("popular products", POPULAR_SECONDS, self.refresh_popular),
            _BackgroundJob("new products", POPULAR_SECONDS, self.refresh_new_products),
            _BackgroundJob("rules", 1.0, self.refresh_rules),
            _BackgroundJob("A/B tests", 1.0, self.refresh_ab_tests),
            _BackgroundJob("reconcile", 10.0, list_cache.reconcile),
        )

    # --- one part each ---------------------------------------------------------------------------------

    def refresh_catalogue(self) -> None:
        """Refresh prices, stock and new products. Raises Unavailable."""
        replica.read(self._catalogue.refresh, after=self._position)
        self._publish()

    def refresh_products(self, products: Collection[int]) -> None:
        """Refresh the products of an event. Raises Unavailable."""
        with unit_of_work() as session:
            changed = self._catalogue.refresh_products(session, products)
            # the catalogue does not go back behind what an event has shown
            self._position = max(self._position, replica.position(session))
        if changed:
            self._publish()

    def refresh_popular(self) -> None:
        """Count which products are popular and which are trending. Raises Unavailable."""
        popular, trending = replica.read(
            lambda session: (PopularProducts.count(session), count_trends(session))
        )
        self._publish(popular=popular, trending=trending, popular_at=clock.now().timestamp())

    def refresh_new_products(self) -> None:
        """Count clicks on new products, where places are reserved for these. Raises Unavailable."""
        exploration = get_settings().exploration
        if exploration.new_product_share == 0.0:
            return
        counted = replica.read(
            lambda session: count_new_products(session, self._catalogue.current, exploration.new_product_days)
        )
        self._publish(new_products=counted)

    def refresh_model(self) -> None:
        """Load the active model after a promotion. Raises Unavailable."""
        try:
            self._model.refresh()
        finally:
            self._publish()

    def refresh_auxiliary_models(self) -> None:
        """Load new auxiliary models. Raises Unavailable."""
        self._publish(auxiliary=self._auxiliary.refresh())

    def refresh_artifacts(self) -> None:
        """Ask the store of artifacts, and keep the copies of this machine in order."""
        data = self.data
        models = data.auxiliary.by_algorithm.values()
        self.artifacts.refresh([*models] if data.model is None else [data.model, *models])

    def refresh_rules(self) -> None:
        """Read changed rules, and those that begin or end, also without PostgreSQL. Raises Unavailable."""
        try:
            with unit_of_work() as session:
                self._rules.refresh(session)
        finally:
            self._rules.advance()
            self._publish()

    def refresh_ab_tests(self) -> None:
        """Start or end A/B tests. Raises Unavailable."""
        for tests in self._tests.refresh(self._catalogue.current):
            self._publish(tests=tests)

    async def refresh_generation(self) -> None:
        """Read the live generation of Redis. Raises RedisError, OSError, Unavailable."""
        generation = await self.redis.live_generation()
        if generation != self.data.generation:
            self._exchange(generation=generation)

    def _publish(self, **changes: Any) -> None:
        """Exchange the snapshot; what the first request after a change would compute is prepared here.

        In threads only: preparing takes up to seconds, and others who publish wait for it.
        """
        with self._preparing:
            data, catalogue, model = self.data, self._catalogue.current, self._model.current
            changes |= {"catalogue": catalogue, "model": model, "rules": self._rules.compiled(catalogue)}
            tests: RunningTests = changes.get("tests", data.tests)
            rule_sets = self._rules.compiled_sets(catalogue, tests.rule_sets)
            changes["rule_sets"] = data.rule_sets if rule_sets == data.rule_sets else rule_sets
            if self._model.problem != data.model_problem:
                changes["model_problem"] = self._model.problem
            if data.catalogue is not catalogue or data.model is not model:
                changes["cold_start"] = (
                    ColdStartProducts() if model is None else ColdStartProducts.of(catalogue, model)
                )
            if all(getattr(data, name) is value for name, value in changes.items()):
                return
            prepared = replace(data, **changes)
            for order in (prepared.popular, prepared.trending):
                order.prepare(catalogue)
            prepared.tests.prepare(catalogue)
            self._exchange(**changes)

    def _exchange(self, **changes: Any) -> None:
        with self._exchanging:
            self.data = replace(self.data, version=self.data.version + 1, **changes)

    # --- before the first request ----------------------------------------------------------------------

    def prepare_to_fork(self) -> None:
        """Read the parts that forked processes share; starts no thread. Raises Unavailable."""
        self.refresh_catalogue()
        self.refresh_popular()
        self.refresh_rules()

    def refresh_outside_unit_of_work(self) -> None:
        """Refresh the parts of stored lists in another thread: the caller's has an open unit of work."""
        with ThreadPoolExecutor(1) as thread:
            for step in (
                self.refresh_catalogue,
                self.refresh_model,
                self._refresh_old_popular,
                self.refresh_ab_tests,
            ):
                thread.submit(step).result()

    def refresh_auxiliary_outside_unit_of_work(self) -> None:
        """Load new auxiliary models in another thread, for the same reason."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self.refresh_auxiliary_models).result()

    def _refresh_old_popular(self) -> None:
        if clock.now().timestamp() - self.data.popular_at > POPULAR_SECONDS:
            self.refresh_popular()

    async def fill(self) -> None:
        """Read every part once. Raises Unavailable unless `prepare_to_fork` was called, which is enough."""
        prepared = len(self.data.catalogue) > 0
        for step in (
            self.refresh_catalogue,
            self._refresh_old_popular,
            self.refresh_new_products,
            self.refresh_model,
            self.refresh_auxiliary_models,
            self.refresh_rules,
            self.refresh_ab_tests,
            self.refresh_artifacts,
        ):
            try:
                await to_thread.run_sync(step)
            except Unavailable as error:
                if not prepared:
                    raise
                _log.error("starting without PostgreSQL, with what was read before", error=str(error))

    # --- in the background -----------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fill the snapshot and keep it fresh until the end of the block.

        Without Redis or a model it starts all the same.

        Raises
        ------
        Unavailable
            PostgreSQL cannot be reached and nothing was prepared.
        """
        tasks: list[asyncio.Task[None]] = []
        try:
            await self.fill()
            try:
                await to_thread.run_sync(list_cache.reconcile)
                await self.refresh_generation()
            except (RedisError, OSError, RecsysError) as error:
                self.redis.available = False
                _log.error("starting without Redis; lists come from PostgreSQL", error=str(error))
            tasks = [asyncio.create_task(_repeat(job)) for job in self._jobs]
            listener = ProductEventListener()
            tasks.append(asyncio.create_task(listener.run(lambda: self.redis.client, self.refresh_products)))
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.redis.close()


async def _repeat(job: _BackgroundJob) -> None:
    failing = False
    while not _cancelled():
        await asyncio.sleep(job.seconds)
        started = time.monotonic()
        try:
            if asyncio.iscoroutinefunction(job.run):
                await job.run()
            else:
                await to_thread.run_sync(job.run)
        except Exception as error:  # noqa: BLE001 a job that ended would leave stale data
            if not failing:  # logged once when it begins, once when it ends
                expected = isinstance(error, RedisError | OSError | RecsysError | SQLAlchemyError)
                _log.error(
                    "a background refresh fails; the last state goes on serving",
                    part=job.name,
                    error=str(error),
                    exc_info=None if expected else error,
                )
            failing = True
        else:
            if failing:
                _log.info("a background refresh works again", part=job.name)
            failing = False
        _log.debug("background refresh", part=job.name, seconds=round(time.monotonic() - started, 3))


def _cancelled() -> bool:
    """Whether this task is cancelled: a client of Redis can lose the CancelledError."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
