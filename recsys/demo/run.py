"""The course of the demo: stage after stage, then the API until Ctrl-C, and everything it started stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psycopg
from rich.console import Console

from recsys import embedded
from recsys.database.addresses import libpq_url, libpq_url_of
from recsys.demo import showcase
from recsys.demo.stages import (
    Figures,
    ServerMemory,
    StageFailed,
    end_process,
    measured,
    peak_mib,
    start_process,
)
from recsys.errors import Invalid
from recsys.settings import Settings

__all__ = ["STAGES", "run"]

STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("servers", ("up",)),
    ("schema", ("migrate",)),
    ("import", ("import", "complete-journey")),
    ("search", ("search", "reindex")),
    ("features", ("features", "build")),
    ("training", ("train", "run", "--all", "--if-needed")),
    ("scoring", ("serve", "score", "--if-needed")),
)
API = ("API", ("serve", "api"))
CHECK = ("served lists", ("train", "evaluate", "--served", "--api"))
_STAGES = len(STAGES) + 2
_API_WITHIN = 90.0


def run(settings: Settings, *, serve: bool = True, figures: Path | None = None) -> None:
    """Run all stages and show what came out.

    It returns normally when it is ended by Ctrl-C or SIGTERM. Whatever was started here is stopped before it
    returns.

    Parameters
    ----------
    settings
        Where the stages run.
    serve
        Serve until Ctrl-C after the table; otherwise end there.
    figures
        File that the table's figures are also written to, as JSON.

    Raises
    ------
    StageFailed
        A stage failed; names it.
    Invalid
        The folder of `figures` does not exist.
    """
    if figures is not None and not figures.absolute().parent.is_dir():
        raise Invalid(f"the folder of {figures} does not exist; --json needs a file in an existing folder")
    console = Console(highlight=False)
    before = {each.name for each in embedded.status(settings) if each.state == "running"}
    api: list[subprocess.Popen[str]] = []
    memory = ServerMemory(settings)
    try:
        with _stopping_signals():
            costs = _stages(console, memory)
            address = _start_api(console, settings, api, costs, memory)
            if _active_model(settings)[0] is not None:
                costs.append(_stage(console, memory, _STAGES, CHECK[0], (*CHECK[1], address)))
            _show(console, settings, address, costs, figures)
            if serve:
                console.print("\nServing. Ctrl-C stops the API and the servers it runs on.", style="bold")
                _serve(api[0])
    except KeyboardInterrupt:
        console.print("\nstopping …")
    finally:
        with _undisturbed():
            memory.close()
            for process in api:
                end_process(process)
            names = [kind for kind in ("postgres", "valkey") if kind not in before]
            for title in embedded.stop(settings, only=names):
                console.print(f"{title} stopped")


def _stages(console: Console, memory: ServerMemory) -> list[Figures]:
    return [
        _stage(console, memory, number, stage, arguments)
        for number, (stage, arguments) in enumerate(STAGES, start=1)
    ]


def _stage(
    console: Console, memory: ServerMemory, number: int, stage: str, arguments: Sequence[str]
) -> Figures:
    console.rule(f"{number}/{_STAGES}  {stage}: recsys {' '.join(arguments)}", align="left")
    with measured(stage, arguments, memory) as cost:
        console.print(f"{cost.seconds:.1f} s, {cost.peak_mib:,.0f} MiB", style="dim")
    return cost


def _start_api(
    console: Console,
    settings: Settings,
    api: list[subprocess.Popen[str]],
    costs: list[Figures],
    memory: ServerMemory,
) -> str:
    """Start the API and wait until it says that it is ready; its process joins `api` at once, to be ended."""
    stage, arguments = API
    console.rule(f"{_STAGES - 1}/{_STAGES}  {stage}: recsys {' '.join(arguments)}", align="left")
    memory.take()
    began = time.perf_counter()
    # A line for each request would bury what the demo shows; who asked for a level gets it.
    quiet = {} if "log_level" in settings.model_fields_set else {"RECSYS_LOG_LEVEL": "WARNING"}
    process = start_process(arguments, variables=quiet)
    api.append(process)
    deadline, address = time.monotonic() + _API_WITHIN, None
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        address = _address(settings, process.pid)
        with suppress(OSError, ValueError):
            if address is not None and showcase.fetch(f"{address}/health/ready"):
                seconds = round(time.perf_counter() - began, 2)
                command = " ".join(["recsys", *arguments])
                costs.append(Figures(stage, command, seconds, round(peak_mib(process.pid), 1), memory.take()))
                return address
        time.sleep(0.1)
    what = f"ended with code {process.returncode}" if process.poll() is not None else "did not become ready"
    with suppress(OSError, ValueError):
        if address is not None:
            what = f"{what}: {showcase.why_not(f'{address}/health/ready')}"
    raise StageFailed(f"the demo stopped at the stage '{stage}': `recsys {' '.join(arguments)}` {what}")


def _address(settings: Settings, pid: int) -> str | None:
    """Where our own API listens, as it notes it itself; a note of another API is not ours."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        noted = json.loads((settings.var / "run" / "api.json").read_text(encoding="utf-8"))
        return str(noted["url"]).rstrip("/") if noted["pid"] == pid else None
    return None


def _show(
    console: Console, settings: Settings, address: str, costs: list[Figures], figures: Path | None
) -> None:
    with (
        psycopg.connect(libpq_url(settings), connect_timeout=10) as shop,
        psycopg.connect(libpq_url_of("recommendations", settings), connect_timeout=10) as recommendations,
    ):
        users = showcase.sample_users(shop, recommendations)
    model, report = _active_model(settings)
    console.print()
    showcase.show_pages(console, address)
    product = showcase.show_recommendations(console, address, users)
    showcase.show_costs(console, costs)
    console.print()
    showcase.show_urls(console, address, users[0][0] if users else None, product)
    if report is not None:
        console.print(f"\nWhy {model} won: {report}", soft_wrap=True, markup=False)
        console.print(f"  {report.resolve().as_uri()}", soft_wrap=True, markup=False)
    if figures is not None:
        showcase.write(figures, costs, api=address, model=model, report=report)


def _active_model(settings: Settings) -> tuple[str | None, Path | None]:
    with psycopg.connect(libpq_url_of("recommendations", settings), connect_timeout=10) as connection:
        return showcase.report_of_active_model(connection, settings.var)


def _serve(process: subprocess.Popen[str]) -> None:
    code = process.wait()
    raise StageFailed(
        f"the API ended by itself with code {code}; its message stands above. Start it: recsys serve api"
    )


@contextmanager
def _stopping_signals() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """An impatient second Ctrl-C must not leave servers behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
