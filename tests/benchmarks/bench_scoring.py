"""Lists for many users at once against the SGEMM limit: `python -m tests.benchmarks.bench_scoring`.

The limit is what the multiplication alone would allow at the speed of a large square SGEMM of the run, on
as many threads. Everything takes turns, and the best turn of each counts: others may be using the machine.
Memory is the peak of an own process beyond the model and the lists it returns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import psutil
import typer
from implicit.cpu.topk import topk as implicit_topk
from rich.console import Console
from rich.table import Table
from scipy import sparse

from features.ids import IdMap
from models.base import ModelKind, Recommender, Rows, Scores
from models.factor_model import FactorModel
from models.factors import USERS_AT_ONCE, Factors
from models.threads import WORKERS, in_parallel, one_blas_thread

Matrix = npt.NDArray[np.float32]
SQUARE = 2_048


@dataclass(frozen=True)
class NoParameters:
    """None."""


class Vectors(FactorModel):
    """A model that is given its vectors."""

    algorithm: ClassVar[str] = "vectors"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = NoParameters

    def __init__(self, users: int, items: int, factors: int, seed: int = 1) -> None:
        super().__init__()
        chance = np.random.default_rng(seed)
        self.of_users = chance.standard_normal((users, factors), dtype=np.float32)
        self.of_items = chance.standard_normal((items, factors), dtype=np.float32)
        self.users_, self.items_ = IdMap(np.arange(users)), IdMap(np.arange(items))
        bought = np.sort(chance.integers(items, size=(users, 20)), axis=1).ravel()
        ends = np.arange(0, bought.size + 1, 20)
        self.history_ = sparse.csr_matrix(
            (np.ones(bought.size, np.float32), bought, ends), shape=(users, items)
        )

    def _vectors(self, history: sparse.csr_matrix, rows: Rows) -> Factors:
        return Factors(self.of_users[rows], self.of_items)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        raise NotImplementedError

    _fit = _contributions = _arrays = _restore = _score_similar  # type: ignore[assignment]


class WholeScores(Vectors):
    """The same, by all scores of a block of users and `top_k`."""

    in_tiles = False


def parts(users: int) -> list[slice]:
    return [slice(start, min(users, start + USERS_AT_ONCE)) for start in range(0, users, USERS_AT_ONCE)]


def square_sgemm() -> float:
    """FLOP/s of one square SGEMM on each of as many threads as the models use."""
    chance = np.random.default_rng(0)
    sides = [chance.standard_normal((SQUARE, SQUARE), dtype=np.float32) for _ in range(WORKERS)]
    outs = [np.zeros_like(side) for side in sides]

    def multiply(one: int) -> None:
        np.matmul(sides[one], sides[one], out=outs[one])

    seconds = min(timed(lambda: in_parallel(multiply, range(WORKERS))) for _ in range(3))
    return 2 * SQUARE**3 * WORKERS / seconds


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def contestants(model: Vectors, whole: Vectors, k: int) -> dict[str, Callable[[], object]]:
    users, items = model.of_users, model.of_items
    outs = {}

    def bare(part: slice) -> None:
        # an output for each thread, written before: fresh pages cost more than the multiplication
        out = outs[part.start // USERS_AT_ONCE % WORKERS]
        rows = users[part]
        np.matmul(rows, items.T, out=out[: rows.shape[0]])

    def multiplications() -> None:
        for first in range(WORKERS):
            outs.setdefault(first, np.zeros((USERS_AT_ONCE, items.shape[0]), dtype=np.float32))
        in_parallel(bare, parts(users.shape[0]))

    def with_implicit() -> None:
        with one_blas_thread():
            implicit_topk(items, users, k, num_threads=WORKERS)

    found: dict[str, Callable[[], object]] = {
        "bare SGEMM of this shape, output preallocated": multiplications,
        "recommend, in tiles": lambda: model.recommend(model.users_.ids, k),
        "recommend, in tiles, nothing seen before": lambda: model.recommend(
            model.users_.ids, k, exclude="seen"
        ),
        "recommend, whole scores and top_k": lambda: whole.recommend(whole.users_.ids, k),
        "implicit topk": with_implicit,
    }
    try:
        import faiss  # type: ignore[import-not-found]
    except ImportError:
        return found
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    faiss.omp_set_num_threads(WORKERS)
    return found | {"faiss IndexFlatIP": lambda: index.search(users, k)}


def memory(users: int, items: int, factors: int, k: int) -> float:
    """MiB beyond model and result of `recommend`, in a process of its own."""
    call = [sys.executable, "-m", "tests.benchmarks.bench_scoring", "--memory-of", str(users)]
    sizes = ["--items", str(items), "--factors", str(factors), "--k", str(k)]
    answer = subprocess.run([*call, *sizes], check=True, capture_output=True, text=True).stdout
    return float(json.loads(answer)["mib"])


def peak(model: Recommender, k: int) -> float:
    process, done, highest = psutil.Process(), threading.Event(), 0
    before = process.memory_info().rss

    # the kernel's own maximum cannot be asked: a process begins with that of the one it was started from
    def watch() -> None:
        nonlocal highest
        while not done.wait(0.002):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    lists = model.recommend(model.users_.ids, k)
    done.set()
    watcher.join()
    return float(highest - before - lists.products.nbytes - lists.scores.nbytes) / 2**20


def main(
    users: int = 8_192,
    items: int = 90_000,
    factors: int = 64,
    k: int = 100,
    rounds: int = 5,
    memory_of: int | None = None,
) -> None:
    """Print users per second and the share of the SGEMM limit of each way, and our peak memory."""
    console = Console()
    if memory_of is not None:
        console.print_json(data={"mib": peak(Vectors(memory_of, items, factors), k)})
        return
    ways = contestants(Vectors(users, items, factors), WholeScores(users, items, factors), k)
    flops, best = 0.0, dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, work in ways.items():
            flops = max(flops, square_sgemm())
            best[name] = min(best[name], timed(work))
    limit = flops / (2 * items * factors)
    console.print(f"{items:,} products × {factors} factors, top {k}, {WORKERS} threads, {users:,} users")
    console.print(f"SGEMM: {flops / 1e9:.0f} GFLOP/s, which would be {limit:,.0f} users/s")
    table = Table("way", "users/s", "of the SGEMM limit")
    for name, seconds in best.items():
        table.add_row(name, f"{users / seconds:,.0f}", f"{users / seconds / limit:.2f}")
    console.print(table)
    for count in (10_000, 100_000):
        mib = memory(count, items, factors, k)
        console.print(f"peak memory beyond model and lists, {count:,} users: {mib:.0f} MiB")


if __name__ == "__main__":
    typer.run(main)
