"""Stores the lists that are the same for everybody with a generation, and forgets those out of date."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import redis
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import copy_connection, unit_of_work
from recsys.domains.recommendations.stored_lists import generations, shared
from recsys.domains.recommendations.stored_lists.codec import pack
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings
from serving.batch.refresh import fresh_data
from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules
from serving.ranking.cold_start import ColdStartProducts
from serving.ranking.popularity import PopularProducts
from serving.ranking.shared_lists import are_counted, item_list_keys, make, stored_keys
from serving.ranking.strategies import Lookups, item_list_models
from serving.ranking.trending import count_trends
from serving.recommender.request import ITEM_LISTS, MAX_POOL, Placement
from serving.state.active_model import LoadedModel
from serving.state.auxiliary_models import AuxiliaryModelRefresher
from serving.state.serving_data import ServingData

__all__ = ["data_of", "forget_lists_of_orders", "forget_lists_with", "write_shared_lists"]

LISTS_AT_ONCE = 500
_log = get_logger(__name__)


def data_of(model: LoadedModel, catalogue: Catalogue) -> ServingData:
    """Return what these lists are made of, without any business rule: rules apply to what is stored.

    Raises
    ------
    Unavailable
        PostgreSQL is away.
    """
    now = clock.now()
    with unit_of_work() as session:
        popular, trending = PopularProducts.count(session), count_trends(session)
    return ServingData(
        catalogue,
        CompiledRules.compile(catalogue, (), now),
        model,
        None,
        AuxiliaryModelRefresher().refresh(),
        popular,
        now.timestamp(),
        trending,
        ColdStartProducts.of(catalogue, model),
    )


def write_shared_lists(generation: int, data: ServingData, seconds: int) -> int:
    """Make all of them, and store them in PostgreSQL and Redis.

    Without Redis readers find them in PostgreSQL.

    Parameters
    ----------
    generation
        Whose lists they are.
    data
        What they are made of.
    seconds
        After these they expire in Redis.

    Returns
    -------
    int
        The number of lists.

    Raises
    ------
    Unavailable
        PostgreSQL is away.
    """
    with unit_of_work() as session:
        keys = list(stored_keys(session, data, get_settings().serving))
    lookups, in_redis = Lookups(), True
    for start in range(0, len(keys), LISTS_AT_ONCE):
        part = keys[start : start + LISTS_AT_ONCE]
        if are_counted(data):
            of_products = [key.subject for key in part if key.placement == Placement.BOUGHT_TOGETHER]
            lookups.co_purchases.count([int(product) for product in of_products])
        for placement in ITEM_LISTS:
            # the others are asked for the few products that the first one does not know
            for model in item_list_models(data, placement)[:1]:
                subjects = [int(key.subject) for key in part if key.placement == placement]
                lookups.neighbours.prepare(model, subjects, MAX_POOL)
        packed = {key: pack(make(data, lookups, key, generation)) for key in part}
        with copy_connection("recommendations") as connection:
            shared.store(connection, generation, packed)
        if in_redis:
            try:
                shared.put_into_redis(generation, packed, seconds)
            except (redis.RedisError, OSError, Unavailable) as error:
                in_redis = False
                _log.error("Redis does not take the lists; answers come from PostgreSQL", error=str(error))
    return len(keys)


def forget_lists_with(session: Session, product: int) -> None:
    """Forget the lists that a product belongs to, after it came back on sale, and its own.

    They were made without it. It belongs to those of the products in its own lists, as far as likeness is
    mutual; other lists have it with the next generation.
    """
    live = generations.live(session)
    if live is None:
        return
    data = fresh_data(auxiliary=True)
    own_keys = item_list_keys(product, data)
    # in another thread: what counts orders opens a unit of work, and the caller has one
    with ThreadPoolExecutor(1) as thread:
        own = list(thread.map(partial(make, data, Lookups(), generation=live.id), own_keys))
    products = {product, *(entry.product for stored in own for entry in stored.entries)}
    shared.forget(session, live.id, [key for other in products for key in item_list_keys(other, data)])


def forget_lists_of_orders(session: Session, products: Collection[int]) -> None:
    """Forget what is bought together with products of a new order, where it is counted from orders."""
    live, data = generations.live(session), fresh_data(auxiliary=True)
    if live is None or not are_counted(data):
        return
    keys = [key for product in products for key in item_list_keys(product, data)]
    shared.forget(session, live.id, [key for key in keys if key.placement == Placement.BOUGHT_TOGETHER])
