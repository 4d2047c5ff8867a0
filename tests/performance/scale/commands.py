"""Commands as processes, with what they cost: seconds, processor seconds here and in PostgreSQL, memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support.servers import ROOT

__all__ = ["Cost", "Servers", "measured"]

_LOOKS_PER_SECOND = 50


@dataclass(frozen=True)
class Cost:
    """What one command took.

    Attributes
    ----------
    seconds
        On the wall.
    cpu
        Processor seconds of the command and its children.
    database_cpu
        Those of PostgreSQL meanwhile.
    peak_mib
        The largest resident memory of the command and its children together.
    own_mib
        The same without pages of files, which the system takes back when it needs them.
    """

    seconds: float
    cpu: float
    database_cpu: float
    peak_mib: float
    own_mib: float
    printed: str = ""

    @property
    def output(self) -> dict[str, Any]:
        """The JSON object that the command printed. Raises ValueError for anything else."""
        value = json.loads(self.printed)
        if not isinstance(value, dict):
            raise ValueError(f"no JSON object: {self.printed[:80]!r}")
        return value


class Servers:
    """The embedded servers of one `var/`, and their processor seconds."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.environment = os.environ | {
            "RECSYS_VAR": str(var),
            "RECSYS_LOG_LEVEL": "WARNING",
            "RECSYS_JOBS__SCHEDULES": "{}",
            "RECSYS_API__RATE_PER_SECOND": "0",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.postgres: psutil.Process | None = None

    def database_cpu(self) -> float:
        """Processor seconds of PostgreSQL so far, its ended backends included."""
        if self.postgres is None:
            return 0.0
        own = self.postgres.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in self.postgres.children():
            with contextlib.suppress(psutil.Error):
                times = child.cpu_times()
                total += times.user + times.system
        return float(total)


def measured(
    servers: Servers,
    *arguments: str,
    module: str = "recsys",
    most_seconds: float = 7200,
    json_option: bool = True,
) -> Cost:
    """Run `python -m MODULE ARGUMENTS [--json]`. Raises RuntimeError with the end of stderr when it fails."""
    options = ["--json"] if json_option else []
    before, began = servers.database_cpu(), time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, *options],
            cwd=ROOT,
            env=servers.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        watch = _MemoryWatch(process.pid)
        timer = threading.Timer(most_seconds, process.kill)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds, (peak, own) = time.perf_counter() - began, watch.stop()
        out.seek(0)
        err.seek(0)
        if process.returncode:
            tail = err.read().decode(errors="replace").strip()[-500:]
            raise RuntimeError(f"{module} {' '.join(arguments)} ended with {process.returncode}: {tail}")
        printed = out.read().decode()
    return Cost(
        seconds,
        usage.ru_utime + usage.ru_stime,
        servers.database_cpu() - before,
        max(peak, usage.ru_maxrss / 1024),
        own,
        printed,
    )


class _MemoryWatch:
    """Adds up the resident memory of a process and its children, several times a second."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._own = pid, 0.0, 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stopped.wait(1 / _LOOKS_PER_SECOND):
            with contextlib.suppress(psutil.Error):
                parent = psutil.Process(self._pid)
                sizes = [each.memory_info() for each in (parent, *parent.children(recursive=True))]
                self._peak = max(self._peak, sum(each.rss for each in sizes) / 2**20)
                # `shared` is Linux's name for pages of files; elsewhere they count as the process's own
                own = sum(each.rss - getattr(each, "shared", 0) for each in sizes)
                self._own = max(self._own, own / 2**20)

    def stop(self) -> tuple[float, float]:
        self._stopped.set()
        self._thread.join()
        return self._peak, self._own
