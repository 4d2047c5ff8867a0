"""What a fit of ALS costs beside `implicit` called directly: `python -m tests.performance.bench_als`."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import typer
from implicit.cpu.als import AlternatingLeastSquares
from rich.console import Console

from features.dataset import Dataset, ItemFeatures, Preferences
from features.ids import IdMap
from features.interactions import MICROSECONDS_PER_DAY, Events, InteractionWeights, canonical_order
from models.algorithms.factorization.als import ALS, ALSParameters
from models.shared.parallel import one_blas_thread
from recsys.domains.recommendations.types import INTERACTION_TYPES


def shop(events: int, users: int, items: int, seed: int) -> Dataset:
    """Purchases of random users, products by a Zipf law, over a year."""
    chance = np.random.default_rng(seed)
    popular = 1.0 / np.arange(1, items + 1) ** 0.8
    moment = 20_000 * MICROSECONDS_PER_DAY
    columns = _sorted(
        {
            "user": chance.integers(users, size=events).astype(np.int32),
            "item": chance.choice(items, size=events, p=popular / popular.sum()).astype(np.int32),
            "kind": np.full(events, INTERACTION_TYPES.index("purchase"), dtype=np.int8),
            "value": np.ones(events, dtype=np.float32),
            "session": np.zeros(events, dtype=np.int64),
            "time": moment - chance.integers(365 * MICROSECONDS_PER_DAY, size=events),
        }
    )
    nothing = np.full(items, -1, dtype=np.int32)
    features = ItemFeatures(
        names=[""] * items,
        text=[""] * items,
        category=nothing,
        category_paths=[],
        brand=nothing,
        brand_names=[],
        price=np.full(items, np.nan, dtype=np.float32),
        created=np.zeros(items, dtype=np.int64),
        active=np.ones(items, dtype=bool),
    )
    return Dataset(
        IdMap(np.arange(users, dtype=np.int64)),
        IdMap(np.arange(items, dtype=np.int64)),
        Events(**columns),
        features,
        Preferences.none(users, 0, 0),
        moment,
        InteractionWeights(),
    )


def _sorted(columns: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    order = canonical_order(columns)
    return columns if order is None else {name: column[order] for name, column in columns.items()}


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def main(
    events: int = 1_400_000,
    users: int = 20_000,
    items: int = 10_000,
    factors: int = 128,
    iterations: int = 10,
    rounds: int = 3,
    seed: int = 1,
) -> None:
    """Print CPU and wall seconds of both, and their ratio; the two take turns, medians are shown."""
    console = Console()
    data = shop(events, users, items, seed)
    # the matrix and the fingerprint belong to the dataset, whatever is fitted on it
    console.print(f"{events:,} events, {data.matrix.nnz:,} pairs, {users:,} users, {items:,} products")
    assert data.fingerprint
    chosen = ALSParameters(factors=factors, iterations=iterations)
    model = ALS(chosen)

    def direct() -> None:
        with one_blas_thread():
            AlternatingLeastSquares(
                factors=chosen.factors,
                alpha=chosen.alpha,
                regularization=chosen.regularization,
                iterations=chosen.iterations,
                random_state=chosen.seed,
            ).fit(data.matrix, show_progress=False)

    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(cost(direct))
        ours.append(cost(lambda: model.fit(data)))
    for name, place in (("CPU", 0), ("wall", 1)):
        mine, other = median(times[place] for times in ours), median(times[place] for times in theirs)
        console.print(f"{name}: {mine:.2f} s, implicit directly {other:.2f} s, ratio {mine / other:.3f}")
    cpu, wall = cost(lambda: model.user_factors_)
    console.print(f"solving for all users when first scored: CPU {cpu:.2f} s, wall {wall:.2f} s")


if __name__ == "__main__":
    typer.run(main)
