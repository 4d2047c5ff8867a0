"""A stage is a `recsys` command run as a process of its own, with its seconds and peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from recsys import embedded
from recsys.errors import RecsysError
from recsys.processes.starting import command_environment, command_line
from recsys.settings import Settings

__all__ = ["Figures", "ServerMemory", "StageFailed", "end_process", "measured", "peak_mib", "start_process"]

MIB = 2**20
_GRACE = 20.0
"""Seconds a stage gets to end by itself after it was asked to."""


class StageFailed(RecsysError):
    """A stage did not end well; its own message stands above."""


@dataclass
class Figures:
    """What one stage took; memory in MiB, of the largest process of each kind."""

    stage: str
    command: str
    seconds: float
    peak_mib: float
    servers_mib: dict[str, float] = field(default_factory=dict)


class ServerMemory:
    """Watches the embedded servers' processes from a thread; `take()` gives the peak since the last call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._peaks: dict[str, float] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="server-memory", daemon=True)
        self._thread.start()

    def take(self) -> dict[str, float]:
        """The peaks since the last call, by name."""
        with self._lock:
            peaks, self._peaks = self._peaks, {}
        return {name: round(peak, 1) for name, peak in peaks.items()}

    def close(self) -> None:
        """Stop watching."""
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        found: dict[str, psutil.Process] = {}
        while not self._end.wait(0.25):
            if len(found) < 2:
                found = self._find()
            for name, process in list(found.items()):
                try:
                    family = [process, *process.children()]
                    largest = max(_resident(each) for each in family)
                except psutil.Error:
                    found.pop(name)
                    continue
                with self._lock:
                    self._peaks[name] = max(self._peaks.get(name, 0.0), largest / MIB)

    def _find(self) -> dict[str, psutil.Process]:
        with suppress(RecsysError, psutil.Error, OSError):
            running = embedded.status(self._settings, sizes=False)
            return {each.title: psutil.Process(each.pid) for each in running if each.pid is not None}
        return {}


def start_process(
    arguments: Sequence[str], *, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start `recsys ARGUMENTS` in a process group of its own, so that Ctrl-C reaches us alone and we end it.

    On Linux it ends with us even when we are killed: see `recsys.processes.command`.
    """
    return subprocess.Popen(
        command_line(arguments),
        env=command_environment(variables or {}),
        stdin=subprocess.DEVNULL,
        text=True,
        process_group=None if sys.platform == "win32" else 0,
    )


@contextmanager
def measured(stage: str, arguments: Sequence[str], memory: ServerMemory) -> Iterator[Figures]:
    """Run the stage to its end and give its figures. Raises StageFailed naming the stage and its command."""
    command = " ".join(["recsys", *arguments])
    memory.take()
    began = time.perf_counter()
    process = start_process(arguments)
    try:
        code, peak = _wait(process)
    except BaseException:
        end_process(process)
        raise
    seconds = time.perf_counter() - began
    if code != 0:
        ending = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        raise StageFailed(
            f"the demo stopped at the stage '{stage}': `{command}` {ending}, its message stands above; "
            "mend that and run `recsys demo` again, it goes on where it stopped"
        )
    yield Figures(stage, command, round(seconds, 2), round(peak / MIB, 1), memory.take())


def _wait(process: subprocess.Popen[str]) -> tuple[int, float]:
    """Exit code and peak resident memory in bytes of the process and of those that it waited for."""
    if sys.platform == "win32":
        return _wait_by_looking(process)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _wait_by_looking(process: subprocess.Popen[str]) -> tuple[int, float]:
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, peak_mib(process.pid) * MIB)
        time.sleep(0.1)
    return process.returncode, peak


def peak_mib(pid: int) -> float:
    """The most memory a living process ever held, where the system tells it, else what it holds now."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    with suppress(psutil.Error):
        return _resident(psutil.Process(pid)) / MIB
    return 0.0


def end_process(process: subprocess.Popen[str]) -> None:
    """Ask the process and all it started to end, insist after a while, and wait until it is gone."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            if sys.platform == "win32":
                process.terminate()
            else:
                os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


def _resident(process: psutil.Process) -> float:
    facts = process.memory_info()
    return float(getattr(facts, "peak_wset", facts.rss))
