"""The catalogue of a simulated shop and the tastes of its users."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.simulation.parameters import ShopParameters
from recsys.simulation.truth import Floats, ShopTruth

__all__ = ["draw_truth", "product_frame", "product_skus", "usernames"]

# the first number of the seed of each independent stream of random numbers
CATALOGUE, USERS, EVENTS, ROWS = range(4)
LAUNCHED_LATER = 0.2
USERS_AT_ONCE = 65_536

_NOUNS = (
    *("Tea", "Coffee", "Bread", "Cheese", "Pasta", "Soup", "Juice", "Honey", "Lamp", "Chair"),
    *("Table", "Shelf", "Carpet", "Mirror", "Kettle", "Pan", "Knife", "Bowl", "Shirt", "Coat"),
    *("Boot", "Scarf", "Glove", "Belt", "Watch", "Ring", "Drum", "Guitar", "Camera", "Phone"),
    *("Laptop", "Screen", "Speaker", "Printer", "Tent", "Rope", "Bicycle", "Helmet", "Ball", "Racket"),
    *("Puzzle", "Doll", "Train", "Novel", "Atlas", "Diary", "Pencil", "Brush", "Paint", "Hammer"),
    *("Drill", "Saw", "Seed", "Rake", "Hose", "Soap", "Towel", "Perfume", "Cream", "Candle"),
    *("Blanket", "Pillow", "Vase", "Clock"),
)
_STYLES = (
    *("Classic", "Modern", "Rustic", "Northern", "Alpine", "Coastal"),
    *("Urban", "Garden", "Studio", "Heritage", "Travel", "Kids"),
)
_ADJECTIVES = (
    *(
        "Red",
        "Blue",
        "Green",
        "Amber",
        "Ivory",
        "Silver",
        "Golden",
        "Small",
        "Large",
        "Light",
        "Heavy",
        "Soft",
    ),
    *("Bright", "Quiet", "Fresh", "Royal", "Plain", "Striped", "Round", "Square", "Wild", "Gentle", "Bold"),
)
_BRANDS = (
    *("Nor", "Vel", "Kara", "Tum", "Ris", "Olda", "Mira", "Sen"),
    *("Bru", "Lay", "Quin", "Esk", "Hald", "Ivo", "Jun", "Pel"),
)


def draw_truth(parameters: ShopParameters) -> ShopTruth:
    """Draw the catalogue and the users' tastes; memory: 4 · factors bytes for each user and product."""
    draw = np.random.default_rng([parameters.seed, CATALOGUE])
    leaves = _leaf_count(parameters.products)
    departments = _units(draw.normal(size=(_department_count(leaves), parameters.factors)))
    category_vectors = _near(departments[_department_of(leaves)], draw)
    # every category has a product, the others lie in categories of unequal size
    weights = draw.lognormal(0.0, 0.8, leaves)
    sizes = 1 + draw.multinomial(parameters.products - leaves, weights / weights.sum())
    first_product = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    rank = 1 + draw.permutation(parameters.products)
    released = np.where(
        draw.random(parameters.products) < LAUNCHED_LATER,
        draw.uniform(0, parameters.days, parameters.products),
        0.0,
    )
    released[first_product[:-1]] = 0.0
    is_seasonal, is_consumable = draw.random((2, leaves)) < 0.5
    log_popularity = (-parameters.zipf * np.log(rank)).astype(np.float32)
    product_vectors = _near(np.repeat(category_vectors, sizes, axis=0), draw)
    popularity = np.add.reduceat(np.exp(log_popularity), first_product[:-1])
    return ShopTruth(
        parameters,
        user_vectors=_user_vectors(parameters, category_vectors, popularity / popularity.sum()),
        product_vectors=product_vectors,
        category_vectors=category_vectors,
        log_popularity=log_popularity,
        first_product=first_product,
        released=released.astype(np.float32),
        season_height=np.where(is_seasonal, draw.uniform(0.3, 1.2, leaves), 0.0).astype(np.float32),
        season_phase=draw.random(leaves).astype(np.float32),
        cycle_days=np.where(is_consumable, draw.lognormal(3.0, 0.5, leaves), 0.0).astype(np.float32),
    )


def product_frame(truth: ShopTruth) -> pl.DataFrame:
    """The products as `recsys import csv --products` takes them, in the order of the truth."""
    parameters, categories = truth.parameters, truth.categories
    draw = np.random.default_rng([parameters.seed, ROWS])
    leaves, count = truth.first_product.size - 1, parameters.products
    departments = _department_of(leaves)
    names = [_leaf_name(leaf) for leaf in range(leaves)]
    paths = [f"Department {departments[leaf] + 1} > {name}" for leaf, name in enumerate(names)]
    brands = max(2, count // 60)
    first_brand = draw.integers(brands, size=leaves)
    brand = (first_brand[categories] + draw.integers(min(5, brands), size=count)) % brands
    median_price = draw.lognormal(3.0, 0.8, leaves)
    price = np.maximum(0.5, median_price[categories] * draw.lognormal(0.0, 0.3, count)).round(2)
    adjective = draw.integers(len(_ADJECTIVES), size=count)
    created = np.datetime64(truth.first_day.replace(tzinfo=None), "us") + _microseconds(truth.released)
    return pl.DataFrame(
        {
            "product": product_skus(np.arange(count)),
            "name": pl.select(
                pl.concat_str(
                    pl.Series([_ADJECTIVES[each] for each in adjective]),
                    pl.Series([names[leaf] for leaf in categories]),
                    pl.Series(np.arange(1, count + 1)),
                    separator=" ",
                )
            ).to_series(),
            "price": price,
            "category": [paths[leaf] for leaf in categories],
            "brand": [f"{_BRANDS[each % len(_BRANDS)]} {each // len(_BRANDS) + 1}" for each in brand],
            "tags": [_ADJECTIVES[each].lower() for each in adjective],
            "created_at": pl.Series(created).dt.replace_time_zone("UTC"),
        }
    )


def product_skus(products: npt.NDArray[np.integer]) -> pl.Series:
    """The SKU of each product number."""
    return pl.select(pl.lit("P") + pl.Series(products + 1).cast(pl.String).str.zfill(8)).to_series()


def usernames(users: npt.NDArray[np.integer]) -> pl.Series:
    """The username of each user number."""
    return pl.select(pl.lit("user-") + pl.Series(users + 1).cast(pl.String).str.zfill(9)).to_series()


def _user_vectors(
    parameters: ShopParameters, category_vectors: Floats, share: npt.NDArray[np.floating]
) -> Floats:
    """Each user likes one to three categories, popular ones more often, and has a taste of their own."""
    vectors = np.empty((parameters.users, parameters.factors), np.float32)
    for block, start in enumerate(range(0, parameters.users, USERS_AT_ONCE)):
        draw = np.random.default_rng([parameters.seed, USERS, block])
        size = min(USERS_AT_ONCE, parameters.users - start)
        liked = draw.choice(share.size, size=(size, 3), p=share / share.sum())
        weight = draw.random((size, 3)).astype(np.float32)
        weight[:, 1:] *= draw.random((size, 2)) < (0.6, 0.3)
        taste = (category_vectors[liked] * weight[:, :, None]).sum(axis=1)
        vectors[start : start + size] = _near(_units(taste), draw)
    return vectors


def _units(vectors: npt.NDArray[np.floating]) -> Floats:
    units: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units


def _near(centres: Floats, draw: np.random.Generator) -> Floats:
    """Unit vectors around unit vectors, with a mean inner product of about 0.8."""
    noise = draw.normal(scale=0.75 / np.sqrt(centres.shape[1]), size=centres.shape)
    return _units(centres + noise.astype(np.float32))


def _leaf_count(products: int) -> int:
    return max(1, min(products, round(1.4 * math.sqrt(products))))


def _department_count(leaves: int) -> int:
    return max(1, round(0.7 * math.sqrt(leaves)))


def _department_of(leaves: int) -> npt.NDArray[np.int64]:
    return np.arange(leaves) * _department_count(leaves) // leaves


def _leaf_name(leaf: int) -> str:
    style, series = leaf // len(_NOUNS), leaf // (len(_NOUNS) * len(_STYLES))
    words = [
        _STYLES[style % len(_STYLES)],
        _NOUNS[leaf % len(_NOUNS)],
        *([str(series + 1)] if series else []),
    ]
    return " ".join(words)


def _microseconds(days: npt.NDArray[np.floating]) -> npt.NDArray[np.timedelta64]:
    moments: npt.NDArray[np.timedelta64] = (np.asarray(days, np.float64) * 86_400e6).astype("timedelta64[us]")
    return moments
