"""NDCG@20 of algorithms with given parameters, on products held out of what a shop imports.

Run as `python -m tests.performance.black_box.members --data FOLDER --shop places --model 'als {"factors":
128}' --model 'als {"factors": 256}'`. A fifth of each user's products is hidden, the last ones of shops with
times and a run of neighbouring numbers of those without (`gowalla.validation_fold` says why). What the lists
of the shop are judged by takes no part, so that it may choose no parameter.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console

from features.dataset import Dataset
from models import factory
from tests.performance.black_box.shop import BlackBoxShop
from tests.performance.black_box.shops import SHOPS
from training.paper_benchmarks.datasets import purchases
from training.paper_benchmarks.gowalla import GowallaSplit, read, validation_fold
from training.paper_benchmarks.runner import judged

SHARE = 0.2
K = 20
JUDGED_USERS = 6_000


def taken(shop: BlackBoxShop) -> Dataset:
    """Each pair of a user and a product once, as a purchase; columns in the order of first interactions."""
    events = shop.interactions
    if "created_at" in events.columns:
        events = events.sort(pl.col("created_at").cast(pl.Float64), maintain_order=True)
    pairs = events.unique(["user", "product"], keep="first", maintain_order=True)
    user = pairs["user"].cast(pl.Categorical).to_physical().to_numpy().astype(np.int64)
    item = pairs["product"].cast(pl.Categorical).to_physical().to_numpy().astype(np.int64)
    return purchases(int(user.max()) + 1, int(item.max()) + 1, user, item, np.arange(user.size))


def split_last(dataset: Dataset) -> GowallaSplit:
    """Hide the last fifth of each user's products."""
    events = dataset.events
    user, item = np.asarray(events.user, np.int64), np.asarray(events.item, np.int64)
    order = np.lexsort((events.time, user))
    user, item = user[order], item[order]
    count = np.bincount(user, minlength=len(dataset.users))
    left = np.cumsum(count)[user] - 1 - np.arange(user.size)
    hidden = left < np.where(count > 1, np.maximum(1, count * SHARE), 0).astype(np.int64)[user]
    shape = len(dataset.users), len(dataset.items)
    return GowallaSplit(
        purchases(*shape, user[~hidden], item[~hidden]),
        purchases(*shape, user[hidden], item[hidden]).matrix,
    )


def split_of(name: str, data: Path) -> GowallaSplit:
    """What is learned from and what is judged, of one of SHOPS."""
    if name == "places":
        return validation_fold(read(data / "gowalla").train, SHARE, 1, blocks=True)
    return split_last(taken(SHOPS[name](data)))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--shop", choices=sorted(SHOPS), action="append", required=True)
    parser.add_argument("--model", action="append", required=True, help="algorithm and parameters as JSON")
    chosen = parser.parse_args()
    console = Console(highlight=False, width=120)
    for name in chosen.shop:
        split = split_of(name, chosen.data)
        asked = np.flatnonzero(np.diff(split.relevant.indptr) > 0)
        asked = np.sort(np.random.default_rng(1).permutation(asked)[:JUDGED_USERS])
        console.print(f"{name}: {asked.size:,} users are judged, {split.relevant.shape[1]:,} products")
        for text in chosen.model:
            algorithm, _, parameters = text.partition(" ")
            model = factory.create(algorithm, json.loads(parameters or "{}"))
            start = time.monotonic()
            model.fit(split.train)
            seconds = time.monotonic() - start
            ranking = model.recommend(split.train.users.ids[asked], K, exclude="seen")
            values = judged(ranking, split.relevant[asked], K, ("ndcg",))["ndcg@20"]
            error = values.std() / np.sqrt(values.size)
            console.print(f"  {text}: {values.mean():.4f} ± {error:.4f}, fitted in {seconds:.1f} s")


if __name__ == "__main__":
    main()
