"""Long jobs give way: beside answers on the same machine they take what is left of the processors."""

from __future__ import annotations

import os

from recsys.settings import get_settings

__all__ = ["give_way", "own_process"]

_own = False


def own_process() -> None:
    """Say that this process runs one command and ends: only then may a job lower its priority for good."""
    global _own
    _own = True


def give_way() -> None:
    """Lower the priority of a process that runs one long job, by `RECSYS_BATCH_NICENESS`.

    Without it, answers of the same machine wait for their turn behind a scoring (`docs/serving.md`). Where
    nobody else wants the processors, nothing is slower.
    """
    steps = get_settings().batch_niceness
    if _own and steps and hasattr(os, "nice"):
        os.nice(max(0, steps - os.nice(0)))
