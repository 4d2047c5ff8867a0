"""What one API process holds in memory, and how it is kept fresh in the background."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from anyio import to_thread
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from recsys import clock
from recsys.cache import client as cache
from recsys.cache import keys
from recsys.cache.client import redis_url
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.errors import RecsysError, Unavailable
from recsys.log import get_logger
from serving.catalogue.catalogue import Catalogue
from serving.catalogue.refresher import CatalogueRefresher
from serving.ranking.attributes import Attributes
from serving.ranking.co_purchase import CoPurchases
from serving.ranking.cold_start import ColdStartProducts
from serving.ranking.popularity import PopularProducts
from serving.ranking.trending import count_trends
from serving.state.ab_assignment import AbAssignment
from serving.state.active_model import ActiveModel, LoadedModel
from serving.state.auxiliary_models import AuxiliaryModels
from serving.state.executor import LiveExecutor
from serving.state.impression_log import ImpressionLog
from serving.state.product_event_listener import ProductEventListener
from serving.state.redis_reader import RedisReader
from serving.state.rule_refresher import RuleRefresher

__all__ = ["State", "running_state", "the_state"]

POINTER_SECONDS = 0.25
MODEL_SECONDS = 0.5
COMPANION_SECONDS = 10.0
RULE_SECONDS = 1.0
AB_SECONDS = 1.0
CATALOGUE_SECONDS = 2.0
POPULAR_SECONDS = 60.0
RECONCILE_SECONDS = 10.0
REDIS_SECONDS = 0.5
"""So long an answer waits at most, and tries one new connection; PostgreSQL has the list as well."""
_log = get_logger(__name__)


@dataclass
class State:
    """Everything an answer needs but the user's own list; read by requests, written by the background."""

    redis: Redis | None = None
    """None until its address is known: an embedded server that does not run has none."""
    line: RedisReader | None = None
    """The same server, for what every answer reads."""
    catalogue: CatalogueRefresher = field(default_factory=CatalogueRefresher)
    model: ActiveModel = field(default_factory=ActiveModel)
    companions: AuxiliaryModels = field(default_factory=AuxiliaryModels)
    attributes: Attributes = field(default_factory=Attributes)
    baskets: CoPurchases = field(default_factory=CoPurchases)
    popular: PopularProducts = field(default_factory=PopularProducts.none)
    popular_at: float = 0.0
    """When it was counted, seconds since 1970."""
    trends: PopularProducts = field(default_factory=PopularProducts.none)
    rules: RuleRefresher = field(default_factory=RuleRefresher)
    ab: AbAssignment = field(default_factory=AbAssignment)
    exposures: ImpressionLog = field(default_factory=ImpressionLog)
    makers: LiveExecutor = field(default_factory=LiveExecutor)
    generation: int | None = None
    redis_well: bool = False
    """Whether the last word to Redis was answered; while it was not, answers do not wait for it."""
    _redis_url: str | None = field(default=None, repr=False)
    _countries: dict[str, tuple[float, PopularProducts]] = field(default_factory=dict, repr=False)
    _arrivals: tuple[Catalogue | None, LoadedModel | None, ColdStartProducts] = field(
        default=(None, None, ColdStartProducts()), repr=False
    )

    def refresh_catalogue(self) -> None:
        """Prices, stock, new products. Raises Unavailable."""
        with unit_of_work() as session:
            self.catalogue.refresh(session)
        self._prepare()

    def refresh_products(self, products: Collection[int]) -> None:
        """The same of some products, of which an event told. Raises Unavailable."""
        with unit_of_work() as session:
            changed = self.catalogue.refresh_products(session, products)
        if changed:
            self._prepare()

    def refresh_popular(self) -> None:
        """Count anew what is popular and what is on the rise. Raises Unavailable."""
        with unit_of_work() as session:
            popular, trends = PopularProducts.count(session), count_trends(session)
        for order in (popular, trends):
            order.prepare(self.catalogue.current)
        self.popular, self.trends, self.popular_at = popular, trends, clock.now().timestamp()

    def refresh_model(self) -> None:
        """Notice a promotion. Raises Unavailable."""
        if self.model.refresh():
            self._prepare()

    def refresh_companions(self) -> None:
        """Notice new models beside the serving one. Raises Unavailable."""
        self.companions.refresh()

    def refresh_rules(self) -> None:
        """Rules that were written, begin or end: the last two also without PostgreSQL. Raises Unavailable."""
        try:
            with unit_of_work() as session:
                self.rules.refresh(session)
        finally:
            self.rules.advance()
            self.rules.compiled(self.catalogue.current)

    def refresh_ab_test(self) -> None:
        """Notice the start or end of an A/B test. Raises Unavailable."""
        self.ab.refresh(self.catalogue.current)

    def refresh_from_other_unit(self) -> None:
        """Everything that a list is made of, on a thread of its own: the caller's has a unit of work open."""
        with ThreadPoolExecutor(1) as thread:
            for step in (self.refresh_catalogue, self.refresh_model, self._popular_if_old):
                thread.submit(step).result()

    def _popular_if_old(self) -> None:
        if clock.now().timestamp() - self.popular_at > POPULAR_SECONDS:
            self.refresh_popular()

    def prepare_to_fork(self) -> None:
        """Fill what processes that are forked from this one share; starts no thread. Raises Unavailable."""
        self.refresh_catalogue()
        self.refresh_popular()
        self.refresh_rules()

    async def fill(self) -> None:
        """Before the first answer. Raises Unavailable unless this was prepared, which is enough to begin."""
        prepared = len(self.catalogue.current) > 0
        for step in (
            self.refresh_catalogue,
            self._popular_if_old,
            self.refresh_model,
            self.refresh_companions,
            self.refresh_rules,
            self.refresh_ab_test,
        ):
            try:
                await to_thread.run_sync(step)
            except Unavailable as error:
                if not prepared:
                    raise
                _log.error("starting without PostgreSQL, with what was read before", error=str(error))

    def arrivals(self) -> ColdStartProducts:
        """The products that the model does not know, and what stands in for them."""
        return self._arrivals[2]

    def popular_in(self, country: str) -> PopularProducts:
        """What was lately sent to a country; what was counted before, while PostgreSQL is away."""
        kept = self._countries.get(country)
        if kept is None or time.monotonic() - kept[0] > POPULAR_SECONDS:
            try:
                with unit_of_work() as session:
                    kept = time.monotonic(), PopularProducts.count(session, country)
            except RecsysError as error:
                _log.error("what is popular in a country cannot be counted", error=str(error))
                return PopularProducts.none() if kept is None else kept[1]
            self._countries[country] = kept
        return kept[1]

    def _prepare(self) -> None:
        """Make in the background what the first request after a change would have to."""
        catalogue, loaded = self.catalogue.current, self.model.current
        self.popular.prepare(catalogue)
        self.trends.prepare(catalogue)
        self.rules.compiled(catalogue)
        if self._arrivals[0] is not catalogue or self._arrivals[1] is not loaded:
            found = ColdStartProducts() if loaded is None else ColdStartProducts.of(catalogue, loaded)
            self._arrivals = catalogue, loaded, found

    def reconcile(self) -> None:
        """Make Redis and PostgreSQL agree on the live generation, after a crash of either."""
        list_cache.reconcile()

    async def refresh_generation(self) -> None:
        """Which generation Redis shows. Raises RedisError, Unavailable when an embedded one does not run."""
        client = self.redis if self.redis_well and self.redis is not None else await self._find_redis()
        try:
            shown = await client.get(keys.live_generation())
        except (RedisError, OSError):
            self.redis_well = False
            raise
        self.redis_well = True
        self.generation = int(shown) if shown is not None and shown.isdigit() else None

    async def _find_redis(self) -> Redis:
        """The client of the address that holds now: an embedded server may come back on another port."""
        url = await to_thread.run_sync(redis_url)
        if self.redis is None or url != self._redis_url:
            if self.redis is not None:
                cache.close()
            await self.hang_up()
            self.redis, self._redis_url = _redis_client(url), url
            self.line = RedisReader(self.redis, REDIS_SECONDS)
        return self.redis

    async def hang_up(self) -> None:
        """Close what talks to Redis."""
        line, client, self.line, self.redis = self.line, self.redis, None, None
        with contextlib.suppress(RedisError, OSError):
            if line is not None:
                await line.close()
            if client is not None:
                await client.aclose()


def _redis_client(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


_running: list[State] = []


def the_state() -> State | None:
    """That of the API in this process; None where none runs."""
    return _running[-1] if _running else None


@asynccontextmanager
async def running_state(prepared: State | None = None) -> AsyncIterator[State]:
    """A state that was filled once and stays fresh until the end of the block: a new one, or `prepared`.

    Raises Unavailable when PostgreSQL cannot be reached and nothing was prepared; without Redis or a model
    it starts all the same.
    """
    state = prepared or State()
    tasks: list[asyncio.Task[None]] = []
    try:
        await state.fill()
        try:
            await to_thread.run_sync(state.reconcile)
            await state.refresh_generation()
        except (RedisError, OSError, RecsysError) as error:
            state.redis_well = False
            _log.error("starting without Redis; lists come from PostgreSQL", error=str(error))
        tasks = [
            asyncio.create_task(_repeat(name, seconds, step)) for name, seconds, step in _background(state)
        ]
        tasks.append(
            asyncio.create_task(ProductEventListener().run(lambda: state.redis, state.refresh_products))
        )
        async with state.exposures:
            _running.append(state)
            try:
                yield state
            finally:
                _running.remove(state)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await to_thread.run_sync(state.makers.close)
        await state.hang_up()


def _background(state: State) -> list[tuple[str, float, Callable[[], object]]]:
    return [
        ("generation", POINTER_SECONDS, state.refresh_generation),
        ("model", MODEL_SECONDS, state.refresh_model),
        ("companions", COMPANION_SECONDS, state.refresh_companions),
        ("catalogue", CATALOGUE_SECONDS, state.refresh_catalogue),
        ("popular", POPULAR_SECONDS, state.refresh_popular),
        ("rules", RULE_SECONDS, state.refresh_rules),
        ("ab test", AB_SECONDS, state.refresh_ab_test),
        ("reconcile", RECONCILE_SECONDS, state.reconcile),
    ]


def _cancelled() -> bool:
    """Whether the task that asks is to end: a client of Redis can lose the CancelledError that says so."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _repeat(name: str, seconds: float, step: Callable[[], object]) -> None:
    failing = False
    while not _cancelled():
        await asyncio.sleep(seconds)
        started = time.monotonic()
        try:
            if asyncio.iscoroutinefunction(step):
                await step()
            else:
                await to_thread.run_sync(step)
        except Exception as error:  # noqa: BLE001 whatever it is: one that ends would leave a stale state
            if not failing:  # said once when it begins, once when it ends
                expected = isinstance(error, RedisError | OSError | RecsysError | SQLAlchemyError)
                _log.error(
                    "a background refresh fails; the last state goes on serving",
                    part=name,
                    error=str(error),
                    exc_info=None if expected else error,
                )
            failing = True
        else:
            if failing:
                _log.info("a background refresh works again", part=name)
            failing = False
        _log.debug("background refresh", part=name, seconds=round(time.monotonic() - started, 3))
