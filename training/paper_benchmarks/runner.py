"""Fit one model and rank with it, under the clock and the memory meter."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.results import Ranking
from training.evaluation.metrics import find_hits, per_user

__all__ = ["Meter", "Result", "judged", "metered"]


@dataclass
class Meter:
    """Seconds and peak resident MiB of a piece of work; filled when it ends."""

    seconds: float = 0.0
    peak_mib: float = 0.0


@dataclass(frozen=True)
class Result:
    """One line of a table: figures by name, means over users; `per_user` keeps them for paired tests."""

    model: str
    figures: dict[str, float]
    fit_seconds: float
    peak_rss_mib: float
    note: str = ""
    per_user: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict, repr=False, compare=False)

    def as_json(self) -> dict[str, Any]:
        """Plain values; every figure under its own name."""
        plain: dict[str, Any] = {"model": self.model, **{k: round(v, 5) for k, v in self.figures.items()}}
        plain |= {"fit_seconds": round(self.fit_seconds, 2), "peak_rss_mib": round(self.peak_rss_mib, 1)}
        return plain | ({"note": self.note} if self.note else {})


@contextmanager
def metered() -> Iterator[Meter]:
    """Measure the block. On Linux the peak is the block's own; elsewhere it is the process's so far."""
    meter = Meter()
    own = _forget_peak()
    started = time.perf_counter()
    yield meter
    meter.seconds = time.perf_counter() - started
    meter.peak_mib = _peak_mib(own)


def judged(ranking: Ranking, relevant: sparse.csr_matrix, k: int, names: tuple[str, ...]) -> dict[str, Any]:
    """The metrics `names` at k of each query with anything right.

    Parameters
    ----------
    relevant : csr, shape (queries, products)
        Rows in the order of the ranking; products are their own columns.
    names
        Of `training.evaluation.metrics.METRICS`.

    Returns
    -------
    float64, shape (judged queries,), by figure
        Keys such as `ndcg@20`; 0 to 1.
    """
    sizes = np.diff(relevant.indptr).astype(np.int64)
    asked = sizes > 0
    hits = find_hits(ranking.products[:, :k], relevant)
    values = per_user(hits[asked], sizes[asked], [k])
    return {f"{name}@{k}": values[name][:, 0] for name in names}


def _forget_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_mib(own: bool) -> float:
    if own:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return float(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


Progress = Callable[[str], None]
"""Called with one line before each long step."""
