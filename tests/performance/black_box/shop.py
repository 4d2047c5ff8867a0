"""What a measured shop consists of."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

__all__ = ["BlackBoxShop", "Question", "plain_products"]


@dataclass(frozen=True)
class Question:
    """What was held out, for one of the stored lists.

    name : `any` or `new`, as `recsys export lists --question`. truth : columns user, product; distinct.
    """

    name: str
    truth: pl.DataFrame


@dataclass(frozen=True)
class BlackBoxShop:
    """interactions : as imported. target : the type of interaction that the truth consists of."""

    name: str
    products: pl.DataFrame
    interactions: pl.DataFrame
    target: str
    questions: tuple[Question, ...]


def plain_products(identifiers: pl.Series) -> pl.DataFrame:
    """A catalogue of which nothing but the identifiers is known."""
    products = identifiers.unique().sort().to_frame("product")
    return products.with_columns(name=pl.lit("Product ") + pl.col("product"), price=pl.lit("10"))
