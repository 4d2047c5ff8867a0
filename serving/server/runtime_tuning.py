"""Keeps one slow moment of the process from becoming everybody's: pauses, hand-overs, spinning threads."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from models.shared.parallel import one_blas_thread

__all__ = ["steady"]

SWITCH_SECONDS = 0.001
"""So long the loop waits at most for a thread that makes a list; by itself Python lets it wait 5 ms."""
_THRESHOLDS = (20_000, 20, 50)


@contextmanager
def steady() -> Iterator[None]:
    """Inside of the block, to be entered when everything is loaded.

    The catalogue and all modules live on: each look of the garbage collector at all of them would stop all
    answers meanwhile, so it is told to look at what came later only, and less often. Lists are made by
    several threads at once: more of them inside of BLAS would only take the cores from each other, and to
    tell it so anew for each list costs more than to tell it once.
    """
    thresholds, seconds, others = gc.get_threshold(), sys.getswitchinterval(), gc.get_freeze_count()
    _set_apart()
    gc.set_threshold(*_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with one_blas_thread():
            yield
    finally:
        sys.setswitchinterval(seconds)
        gc.set_threshold(*thresholds)
        if not others:  # what somebody else set apart is not ours to bring back
            gc.unfreeze()


def _set_apart() -> None:
    gc.collect()
    gc.freeze()
