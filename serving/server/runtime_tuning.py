"""Runtime tuning: garbage collection, thread switching and BLAS threads while serving."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from models.shared.parallel import one_blas_thread

__all__ = ["tuned_runtime"]

SWITCH_SECONDS = 0.001
"""The event loop waits at most this long for a thread that ranks a list; Python's default is 5 ms."""
_THRESHOLDS = (20_000, 20, 50)


@contextmanager
def tuned_runtime() -> Iterator[None]:
    """Tune the process within the block, which begins when everything is loaded.

    The catalogue and all modules are long-lived: a full garbage collection would pause all responses, so
    these objects are frozen, and collections are less frequent. Lists are ranked by several threads: BLAS
    threads would compete for the same cores, and limiting them once is cheaper than for each list.
    """
    thresholds, seconds = gc.get_threshold(), sys.getswitchinterval()
    already_frozen = _freeze_objects()
    gc.set_threshold(*_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with one_blas_thread():
            yield
    finally:
        sys.setswitchinterval(seconds)
        gc.set_threshold(*thresholds)
        if not already_frozen:  # objects that were frozen before stay frozen
            gc.unfreeze()


def _freeze_objects() -> bool:
    """Freeze all objects that are left after a full collection; whether objects were frozen before."""
    already_frozen = gc.get_freeze_count() > 0
    gc.collect()
    gc.freeze()
    return already_frozen
