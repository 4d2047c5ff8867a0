"""Threads: one per block of work, and none inside the linear algebra of a block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.linalg  # noqa: F401 - loads scipy's own BLAS, so that the controller sees it
from threadpoolctl import OpenBLASController, ThreadpoolController  # type: ignore[import-untyped]

__all__ = ["WORKERS", "even_parts", "in_parallel", "one_blas_thread"]

T = TypeVar("T")
R = TypeVar("R")

# a process beside others of its kind, as Spark starts them, has its share of the processors in this variable
_given = os.environ.get("OMP_NUM_THREADS", "")
WORKERS = min(8, int(_given) if _given.isdecimal() and int(_given) > 0 else os.cpu_count() or 1)

_lock = Lock()
_inside = 0
_limit: Any = None


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread while any thread of this process is inside such a block.

    Numpy and scipy bring a BLAS each, whose pools spin against each other, against `implicit`'s threads and
    against whatever else wants the cores: a matrix product of 0.3 ms then takes 10 to 30 ms. The limit
    belongs to the process, so the first one in sets it and the last one out takes it back.
    """
    global _inside, _limit
    with _lock:
        if _inside == 0:
            _take_control()
            _limit = _controller().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _take_control()
                _limit.restore_original_limits()
                _limit = None


def _take_control() -> None:
    # threadpoolctl obeys one thread and silently ignores the others; here the last one out, in whatever
    # thread, must be obeyed
    OpenBLASController.clear_controlling_thread(force=True)


def in_parallel(work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """`work` of each part, in their order, by up to WORKERS threads with one BLAS thread each."""
    with one_blas_thread():
        if len(parts) < 2 or WORKERS == 1:
            return [work(part) for part in parts]
        with ThreadPoolExecutor(min(WORKERS, len(parts))) as pool:
            return list(pool.map(work, parts))


def even_parts(count: int, most: int) -> list[npt.NDArray[np.int64]]:
    """0..count-1 in parts of `most` at most: one, or as many for each worker, of nearly one length.

    The last of parts of the full length is a short one, and the workers wait for who has the other.
    """
    parts = -(-count // most)
    if parts > 1:
        parts = min(count, -(-parts // WORKERS) * WORKERS)
    return np.array_split(np.arange(count, dtype=np.int64), parts) if parts else []
