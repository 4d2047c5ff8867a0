"""Public data sets as shops: the files that are imported, and what users took afterwards.

What is held out is in no file. `hidden` shops leave out all events of a held-out product by its user, also
those before it was bought: otherwise a list finds it by the user's own view of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from tests.performance.black_box import cut_by_time
from tests.performance.black_box.shop import BlackBoxShop, Question, plain_products

__all__ = ["SHOPS"]

_HELD_OUT_SHARE = 0.2
"""Of each person's ratings, the last ones."""


def _movies(data: Path) -> BlackBoxShop:
    """MovieLens 100K: a rating of 4 or 5 is a purchase, others are views; the last fifth is held out."""
    folder = data / "ml-100k"
    read = {"separator": "\t", "quote_char": None, "infer_schema": False}
    movies = pl.read_csv(folder / "ml-100k.item", **read)
    ratings = pl.read_csv(folder / "ml-100k.inter", **read)
    products = movies.select(
        product="item_id:token",
        name=pl.col("movie_title:token_seq"),
        price=pl.lit("10"),
        tags=pl.col("class:token_seq").str.replace_all(" ", "|"),
    )
    events = ratings.select(
        user="user_id:token",
        product="item_id:token",
        interaction_type=pl.when(pl.col("rating:float").cast(pl.Float64) >= 4)
        .then(pl.lit("purchase"))
        .otherwise(pl.lit("view")),
        created_at="timestamp:float",
    )
    moment = pl.col("created_at").cast(pl.Int64)
    place = moment.rank("ordinal").over("user") / pl.len().over("user")
    events = events.with_columns(is_late=place > 1 - _HELD_OUT_SHARE)
    late = events.filter(pl.col("is_late") & (pl.col("interaction_type") == "purchase"))
    kept = events.filter(~pl.col("is_late")).drop("is_late")
    truth = late.select("user", "product").unique()
    return BlackBoxShop("movies", products, kept, "purchase", (Question("new", truth),))


def _event_log(data: Path, *, hidden: bool) -> BlackBoxShop:
    """RetailRocket: views, carts and purchases; the truth is each user's last new purchase."""
    events = pl.read_csv(
        data / "retailrocket" / "events.csv", schema_overrides={"user": pl.String, "item": pl.String}
    )
    events = events.select(
        user="user",
        product="item",
        interaction_type=pl.col("event").replace(
            {"cart": "add_to_cart", "buy": "purchase", "transaction": "purchase"}
        ),
        created_at="ts",
    )
    pair = ["user", "product"]
    first = (
        events.filter(pl.col("interaction_type") == "purchase")
        .group_by(pair)
        .agg(at=pl.col("created_at").min())
    )
    last = first.sort("at", "product").group_by("user").last()
    # of each user, what happened before the last purchase of a product that was not bought before
    before = events.join(last.select("user", "at"), on="user", how="left")
    before = before.filter((pl.col("created_at") < pl.col("at")).fill_null(value=True)).drop("at")
    truth = last.select(pair)
    if hidden:
        before = before.join(truth, on=pair, how="anti")
    truth = truth.join(before, on="user", how="semi")
    products = plain_products(events["product"])
    name = "event log, own views hidden" if hidden else "event log"
    question = Question("new" if hidden else "any", truth.sort(pair))
    return BlackBoxShop(
        name, products, before.with_columns(pl.col("created_at").cast(pl.String)), "purchase", (question,)
    )


def _sequences(data: Path) -> BlackBoxShop:
    """Amazon Beauty: one purchase a day in the order of the sequence; the last one is held out."""
    text = pl.read_csv(
        data / "beauty" / "sequences.txt.gz", has_header=False, separator="\n", new_columns=["line"]
    )
    words = text.select(word=pl.col("line").str.split(" "))
    rows = words.select(user=pl.col("word").list.first(), product=pl.col("word").list.slice(1)).explode(
        "product"
    )
    place = pl.int_range(pl.len()).over("user")
    left = pl.len().over("user") - 1 - place
    rows = rows.with_columns(place=place, left=left)
    # all sequences end together, so that no one is inactive
    moment = 1_400_000_000 - pl.col("left") * 86_400
    kept = rows.filter(pl.col("left") > 0).select(
        "user", "product", interaction_type=pl.lit("purchase"), created_at=moment.cast(pl.String)
    )
    truth = rows.filter(pl.col("left") == 0).select("user", "product")
    products = plain_products(rows["product"])
    return BlackBoxShop("sequences", products, kept, "purchase", (Question("new", truth),))


def _places(data: Path) -> BlackBoxShop:
    """Gowalla, the published split: views of places, without times."""
    rows = {}
    for part in ("train", "test"):
        text = pl.read_csv(
            data / "gowalla" / f"{part}.txt.gz", has_header=False, separator="\n", new_columns=["line"]
        )
        words = text.select(word=pl.col("line").str.strip_chars().str.split(" "))
        rows[part] = (
            words.select(user=pl.col("word").list.first(), product=pl.col("word").list.slice(1))
            .explode("product")
            .filter(pl.col("product").is_not_null() & (pl.col("product") != ""))
        )
    kept = rows["train"].with_columns(interaction_type=pl.lit("view"))
    products = plain_products(pl.concat([rows["train"]["product"], rows["test"]["product"]]))
    return BlackBoxShop("places", products, kept, "view", (Question("new", rows["test"]),))


SHOPS: dict[str, Callable[[Path], BlackBoxShop]] = {
    "movies": _movies,
    "event-log": lambda data: _event_log(data, hidden=False),
    "event-log-hidden": lambda data: _event_log(data, hidden=True),
    "sequences": _sequences,
    "places": _places,
    "groceries": lambda data: cut_by_time.groceries(),
    "event-log-later": cut_by_time.event_log,
}
"""By name: reads the shop from the folder of the data sets. Raises OSError."""
