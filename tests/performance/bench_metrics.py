"""All metrics of 100,000 users × top 100, beside a floor of the same run; wanted: under 10 s.

The floor reads every list entry as often as any program would have to: one sum over the products and one over
the hits of each list per metric. The ratio says what the definitions cost beyond reading.

    nice -n 10 python -m tests.performance.bench_metrics
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np
from rich.console import Console

from features.dataset import Dataset, ItemFeatures, Preferences
from features.ids import IdMap
from features.interactions import MICROSECONDS_PER_DAY, Events, InteractionWeights
from recsys.domains.recommendations.types import INTERACTION_TYPES
from training.evaluation.evaluator import figures_of
from training.evaluation.splits import Split, time_split

KS = (1, 5, 10, 20, 50, 100)
WANTED_SECONDS = 10.0


def shop(users: int, items: int, seed: int = 0) -> Dataset:
    """Thirty purchases each over sixty days, bestsellers drawn more often; every product fully described."""
    rng = np.random.default_rng(seed)
    n = 30 * users
    time_of = np.sort(rng.integers(0, 60 * MICROSECONDS_PER_DAY, n))
    events = Events(
        rng.integers(0, users, n).astype(np.int32),
        (items * rng.random(n) ** 2).astype(np.int32),
        np.full(n, INTERACTION_TYPES.index("purchase"), np.int8),
        np.ones(n, np.float32),
        np.zeros(n, np.int64),
        time_of,
    )
    paths = [f"Department {i % 20} > Aisle {i}" for i in range(300)]
    features = ItemFeatures(
        [f"product {i}" for i in range(items)],
        [f"word{i % 997} word{i % 131} word{i % 17} pack of {i % 12}" for i in range(items)],
        rng.integers(0, len(paths), items).astype(np.int32),
        paths,
        rng.integers(0, 50, items).astype(np.int32),
        [f"brand {i}" for i in range(50)],
        rng.random(items).astype(np.float32) * 50,
        np.zeros(items, np.int64),
        np.ones(items, bool),
        rng.integers(0, 3, items).astype(np.float32),
    )
    return Dataset(
        IdMap(np.arange(1, users + 1)),
        IdMap(np.arange(1, items + 1)),
        events,
        features,
        Preferences.none(users, len(paths), 50),
        int(time_of[-1]),
        InteractionWeights(),
    )


def split_of(users: int, items: int) -> Split:
    split = time_split(shop(users, items), 14)
    return replace(split, costs=split.train.item_features.price.astype(np.float64) * 0.6)


def lists(n: int, items: int, seed: int = 1) -> np.ndarray:
    """A hundred different item rows for each of n users: steps through the catalogue from a random start."""
    rng = np.random.default_rng(seed)
    step = rng.integers(1, items // 100, n)[:, None]
    return (rng.integers(0, items, n)[:, None] + step * np.arange(100)) % items


def floor_seconds(columns: np.ndarray, hits: np.ndarray, metrics: int) -> float:
    started = time.perf_counter()
    for _ in range(metrics):
        columns.sum(axis=1)
        hits.sum(axis=1)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    out = Console(soft_wrap=True)
    split = split_of(asked.users, asked.items)
    fold = split.folds["all"]
    products = split.train.items.ids[lists(fold.users.size, len(split.train.items))]
    scores = np.zeros(products.shape, dtype=np.float32)
    started = time.perf_counter()
    split.facts, split.train.matrix  # noqa: B018 - computed once and kept
    out.print(f"describing {asked.items:,} products once per split: {time.perf_counter() - started:.2f} s")
    pairs = []
    for _ in range(asked.rounds):
        started = time.perf_counter()
        result = figures_of(fold, split, products, scores, KS)
        seconds = time.perf_counter() - started
        count = len(result.values) + len(result.quality) + len(result.totals)
        floor = floor_seconds(products, result.hits, count)
        pairs.append((seconds, seconds / floor))
        out.print(
            f"{fold.users.size:,} users × top {products.shape[1]}: {count} metrics at {len(KS)} cut-offs in "
            f"{seconds:.2f} s; floor {floor:.2f} s, ratio {seconds / floor:.1f}"
        )
    best = statistics.median(seconds for seconds, _ in pairs)
    ratio = statistics.median(ratio for _, ratio in pairs)
    out.print(f"median {best:.2f} s (wanted: under {WANTED_SECONDS:g} s), ratio to the floor {ratio:.1f}")


if __name__ == "__main__":
    main()
