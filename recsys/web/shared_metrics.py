"""One answer to `/metrics` for several processes: each counts into files of its own, and all are added up."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["counted_together", "forget_process"]


@contextmanager
def counted_together() -> Iterator[None]:
    """Inside, processes that are started or forked from here count together, those that died included.

    To be entered before anything of prometheus_client is imported: it looks for its folder once, then.
    """
    folder = tempfile.mkdtemp(prefix="recsys-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        shutil.rmtree(folder, ignore_errors=True)


def forget_process(pid: int) -> None:
    """Drop the gauges of a process that ended; its counters stay in the sums."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
