"""Lists for many users at once against the SGEMM limit: `python -m tests.performance.bench_scoring`.

The limit is what the multiplication alone would allow at the speed of a large square SGEMM of the run, on
as many threads. Everything takes turns, and the best turn of each counts: others may be using the machine.
Two kinds of vectors are measured, as they differ by far. Random ones are all about as long, so that every
score must be computed: that is the figure to compare with the limit. Those of an ALS fit on a shop's data are
not, and most scores are never computed: more users per second than the limit allows is no error then.
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
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import psutil
import typer
from implicit.cpu.topk import topk as implicit_topk
from rich.console import Console
from rich.table import Table
from scipy import sparse

from features.ids import IdMap
from models.algorithms.factorization.als import ALS
from models.algorithms.shared.factor_model import FactorModel
from models.base import ModelKind, Recommender, Rows, Scores
from models.ranking.mips.exact import CHUNK, USERS_AT_ONCE
from models.ranking.mips.factors import Factors
from models.shared.parallel import WORKERS, in_parallel, one_blas_thread
from recsys.settings import get_settings

Matrix = npt.NDArray[np.float32]
SQUARE = 2_048
LINES = 8


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and those of processors, which others on the machine hardly change."""

    seconds: float
    processor: float

    def best(self, other: Cost) -> Cost:
        return Cost(min(self.seconds, other.seconds), min(self.processor, other.processor))


@dataclass(frozen=True)
class NoParameters:
    """None."""


class Vectors(FactorModel):
    """A model that is given its vectors."""

    algorithm: ClassVar[str] = "vectors"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = NoParameters

    def __init__(self, of_users: Matrix, of_items: Matrix, history: sparse.csr_matrix) -> None:
        super().__init__()
        self.of_users, self.of_items, self.history_ = of_users, of_items, history
        self.users_, self.items_ = IdMap(np.arange(len(of_users))), IdMap(np.arange(len(of_items)))

    @classmethod
    def random(cls, users: int, items: int, factors: int, seed: int = 1) -> Self:
        """Normally distributed vectors, and 20 products that each user has seen."""
        chance = np.random.default_rng(seed)
        of_users = chance.standard_normal((users, factors), dtype=np.float32)
        of_items = chance.standard_normal((items, factors), dtype=np.float32)
        seen = np.sort(chance.integers(items, size=(users, 20)), axis=1).ravel()
        ends = np.arange(0, seen.size + 1, 20)
        history = sparse.csr_matrix((np.ones(seen.size, np.float32), seen, ends), shape=(users, items))
        return cls(of_users, of_items, history)

    @classmethod
    def of_als(cls, model: ALS) -> Self:
        """Those of a fitted model, without the items that it never recommends."""
        warm = np.delete(np.arange(len(model.items_)), model.cold_)
        return cls(
            model.user_factors_, np.ascontiguousarray(model.item_factors_[warm]), model.history_[:, warm]
        )

    def _vectors(self, history: sparse.csr_matrix, rows: Rows) -> Factors:
        return Factors(self.of_users[rows], self.of_items)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        raise NotImplementedError

    _fit = _contributions = _arrays = _restore = _score_similar  # type: ignore[assignment]


class WholeScores(Vectors):
    """The same, by all scores of a block of users and `top_k`."""

    in_tiles = False


def newest_als() -> Path | None:
    """The ALS model that was trained last, `make demo` trains one."""
    found = list((get_settings().var / "models").glob("als-v*"))
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def parts(users: int) -> list[slice]:
    return [slice(start, min(users, start + USERS_AT_ONCE)) for start in range(0, users, USERS_AT_ONCE)]


def square_sgemm() -> Cost:
    """Of one square SGEMM on each of as many threads as the models use, its best of three."""
    chance = np.random.default_rng(0)
    sides = [chance.standard_normal((SQUARE, SQUARE), dtype=np.float32) for _ in range(WORKERS)]
    outs = [np.zeros_like(side) for side in sides]

    def multiply(one: int) -> None:
        np.matmul(sides[one], sides[one], out=outs[one])

    turns = [timed(lambda: in_parallel(multiply, range(WORKERS))) for _ in range(3)]
    return Cost(min(one.seconds for one in turns), min(one.processor for one in turns))


def timed(work: Callable[[], object]) -> Cost:
    start, used = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - start, time.process_time() - used)


def contestants(model: Vectors, k: int) -> dict[str, Callable[[], object]]:
    users, items = model.of_users, model.of_items
    whole = WholeScores(users, items, model.history_)
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

    def tiles(part: slice) -> None:
        chunks = np.zeros((-(-(part.stop - part.start) // CHUNK) * CHUNK, users.shape[1]), dtype=np.float32)
        chunks[: part.stop - part.start] = users[part]
        packed = np.ascontiguousarray(chunks.reshape(-1, 1, CHUNK, users.shape[1]).swapaxes(2, 3))
        out = np.empty((packed.shape[0], LINES, CHUNK, CHUNK), dtype=np.float32)
        for start in range(0, items.shape[0] - LINES * CHUNK + 1, LINES * CHUNK):
            tile = items[start : start + LINES * CHUNK].reshape(LINES, CHUNK, -1)
            np.matmul(tile, packed, out=out)

    def with_implicit() -> None:
        with one_blas_thread():
            implicit_topk(items, users, k, num_threads=WORKERS)

    ids = model.users_.ids
    found: dict[str, Callable[[], object]] = {
        "bare SGEMM of this shape, output preallocated": multiplications,
        "bare SGEMM in tiles, none kept": lambda: in_parallel(tiles, parts(len(users))),
        "recommend": lambda: model.recommend(ids, k),
        "recommend, nothing seen before": lambda: model.recommend(ids, k, exclude="seen"),
        "recommend, whole scores and top_k": lambda: whole.recommend(ids, k),
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


def compare(console: Console, title: str, model: Vectors, k: int, rounds: int) -> None:
    """Print users per second and the share of the SGEMM limit of each way."""
    ways = contestants(model, k)
    users, (items, factors) = len(model.of_users), model.of_items.shape
    square = Cost(float("inf"), float("inf"))
    best = dict.fromkeys(ways, square)
    for _ in range(rounds):
        for name, work in ways.items():
            square = square.best(square_sgemm())
            best[name] = best[name].best(timed(work))
    flops = 2 * SQUARE**3 * WORKERS
    limit, least = flops / square.seconds / (2 * items * factors), flops / square.processor
    console.print(f"{title}: {users:,} users, {items:,} products × {factors} factors, top {k}")
    speed = flops / square.seconds / 1e9
    console.print(f"SGEMM on {WORKERS} threads: {speed:.0f} GFLOP/s, which would be {limit:,.0f} users/s")
    table = Table("way", "users/s", "of the SGEMM limit", "by processor time")
    for name, cost in best.items():
        used = users * 2 * items * factors / least / cost.processor
        table.add_row(
            name, f"{users / cost.seconds:,.0f}", f"{users / cost.seconds / limit:.2f}", f"{used:.2f}"
        )
    console.print(table)


def memory(users: int, items: int, factors: int, k: int) -> float:
    """MiB beyond model and result of `recommend`, in a process of its own."""
    call = [sys.executable, "-m", "tests.performance.bench_scoring", "--memory-of", str(users)]
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
    als: Path | None = None,
    memory_of: int | None = None,
) -> None:
    """Print what each way reaches with random vectors and with those of a model (`--als FOLDER`)."""
    console = Console()
    if memory_of is not None:
        console.print_json(data={"mib": peak(Vectors.random(memory_of, items, factors), k)})
        return
    compare(console, "Random vectors", Vectors.random(users, items, factors), k, rounds)
    folder = als or newest_als()
    if folder is None:
        console.print("Real vectors are not measured: var/models has no ALS model; `make demo` trains one")
    else:
        compare(console, f"Vectors of {folder.name}", Vectors.of_als(ALS.load(folder)), k, rounds)
    for count in (10_000, 100_000):
        mib = memory(count, items, factors, k)
        console.print(f"peak memory beyond model and lists, {count:,} users: {mib:.0f} MiB")


if __name__ == "__main__":
    typer.run(main)
