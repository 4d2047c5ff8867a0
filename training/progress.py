"""What the person at the terminal sees of long work: each step, its progress, its time and its memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import psutil
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from recsys.durations import format_seconds
from recsys.processes.heap import trim_heap

__all__ = ["Step", "Steps", "watch_memory"]

SAMPLE_SECONDS = 0.02
MIB = 2**20
LONG_SECONDS = 5.0
"""A step of that forecast or more is long."""


@dataclass
class Step:
    """One piece of work; `advance(n)` moves its bar.

    Attributes
    ----------
    seconds
        How long it took, true once it is over.
    peak_mib
        The most resident memory of the whole process meanwhile, in MiB, sampled 50 times a second; true once
        it is over.
    note
        What its line ends with.
    """

    name: str
    seconds: float = 0.0
    peak_mib: float = 0.0
    note: str = ""
    forecast: float | None = None
    """Seconds that were expected; None where nothing was."""
    _progress: Progress | None = None
    _task: int = 0

    @property
    def is_long(self) -> bool:
        """Whether it was expected to take long enough to be announced."""
        return self.forecast is not None and self.forecast >= LONG_SECONDS

    def advance(self, count: int = 1) -> None:
        """Say that `count` more units are done."""
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[-1], count)


@dataclass
class Steps:
    """All steps of a run, in order. `console=None` shows nothing and still measures."""

    console: Console | None = None
    done: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, total: int | None = None, forecast: float | None = None) -> Iterator[Step]:
        """Show `name` while the block runs, with a bar where `total` is known; then a line with its time.

        Parameters
        ----------
        total
            Units of the bar.
        forecast
            Seconds that it is expected to take, shown before and after where it is a long step.
        """
        step = Step(name, forecast=forecast)
        with watch_memory() as memory, self._shown(step, total):
            started = perf_counter()
            try:
                yield step
            finally:
                step.seconds = perf_counter() - started
        step.peak_mib = memory.peak_mib
        # what one fit freed would stay with the process, in pieces that the next one cannot use
        trim_heap()
        self.done.append(step)
        if self.console is not None:
            notes = [step.note] if step.note else []
            notes += [f"forecast {format_seconds(step.forecast)}"] if step.forecast and step.is_long else []
            note = f"  [dim]{', '.join(notes)}[/dim]" if notes else ""
            self.console.print(
                f"[green]✓[/green] {name:<34} {step.seconds:7.1f} s {step.peak_mib:7,.0f} MiB{note}",
                highlight=False,
                soft_wrap=True,
            )

    def say(self, text: str) -> None:
        """One line of plain words."""
        if self.console is not None:
            self.console.print(text, markup=False, highlight=False)

    def forecast_took(self) -> float:
        """Seconds of the finished steps that had a forecast."""
        return sum(step.seconds for step in self.done if step.forecast is not None)

    @contextmanager
    def _shown(self, step: Step, total: int | None) -> Iterator[None]:
        expected = f": about {format_seconds(step.forecast)}" if step.forecast and step.is_long else ""
        if self.console is None or not self.console.is_terminal:
            if expected:
                self.say(f"… {step.name}{expected}")
            yield
            return
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24)]
        with Progress(
            *columns, TaskProgressColumn(), TimeElapsedColumn(), console=self.console, transient=True
        ) as progress:
            progress.add_task(f"{step.name}{expected}", total=total)
            step._progress = progress
            yield
            step._progress = None


@dataclass
class _Memory:
    peak_mib: float = 0.0


@contextmanager
def watch_memory() -> Iterator[_Memory]:
    """Sample this process's resident memory while the block runs."""
    process, memory, over = psutil.Process(), _Memory(), threading.Event()

    def sample() -> None:
        while True:
            memory.peak_mib = max(memory.peak_mib, process.memory_info().rss / MIB)
            if over.wait(SAMPLE_SECONDS):
                return

    sampler = threading.Thread(target=sample, name="memory-sampler", daemon=True)
    sampler.start()
    try:
        yield memory
    finally:
        over.set()
        sampler.join()
