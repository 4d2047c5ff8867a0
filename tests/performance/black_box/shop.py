"""What a measured shop consists of, and small parts of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

__all__ = ["BlackBoxShop", "Question", "part_of", "plain_products"]


@dataclass(frozen=True)
class Question:
    """What was held out, for one of the stored lists.

    Attributes
    ----------
    name
        `any` or `new`, as `recsys export lists --question`.
    truth
        Columns user, product; distinct.
    """

    name: str
    truth: pl.DataFrame


@dataclass(frozen=True)
class BlackBoxShop:
    """A shop with the questions that are asked of it.

    Attributes
    ----------
    interactions
        As imported.
    target
        The type of interaction that the truth consists of.
    """

    name: str
    products: pl.DataFrame
    interactions: pl.DataFrame
    target: str
    questions: tuple[Question, ...]


def plain_products(identifiers: pl.Series) -> pl.DataFrame:
    """A catalogue of which nothing but the identifiers is known."""
    products = identifiers.unique().sort().to_frame("product")
    return products.with_columns(name=pl.lit("Product ") + pl.col("product"), price=pl.lit("10"))


def part_of(shop: BlackBoxShop, users: int, products: int, seed: int) -> BlackBoxShop:
    """A small shop of the same kind: some of the products that are taken most, and some of their users."""
    chance = np.random.default_rng(seed)
    counts = shop.interactions["product"].value_counts().sort(["count", "product"], descending=[True, False])
    most = counts.head(3 * products)["product"].sort()
    chosen = pl.DataFrame({"product": most.gather(np.sort(chance.permutation(len(most))[:products]))})
    kept = shop.interactions.join(chosen, on="product", how="semi")
    names = kept["user"].unique().sort()
    some = pl.DataFrame({"user": names.gather(np.sort(chance.permutation(len(names))[:users]))})
    questions = tuple(
        replace(
            each, truth=each.truth.join(chosen, on="product", how="semi").join(some, on="user", how="semi")
        )
        for each in shop.questions
    )
    return replace(
        shop,
        name=f"{shop.name}, {len(some)} users and {len(chosen)} products",
        products=shop.products.join(chosen, on="product", how="semi"),
        interactions=kept.join(some, on="user", how="semi"),
        questions=questions,
    )
