"""`recsys features`: build a snapshot of the shop's behaviour, and show the current one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys.errors import Invalid
from recsys.settings import get_settings
from recsys.spark.engine import Engine, EngineOption, MasterOption, chosen_session

if TYPE_CHECKING:
    from features.dataset import Dataset

__all__ = ["app"]

app = typer.Typer(
    name="features", help="From stored behaviour to what models learn from.", no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


@app.command()
def build(
    until: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="Use the data as of T, an ISO date (its first moment) or date and time, UTC unless "
            "it names an offset. Later events are left out. Default: everything.",
        ),
    ] = None,
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental/--full",
            help="Update the current snapshot where the result is identical, else read everything.",
        ),
    ] = True,
    engine: EngineOption = Engine.LOCAL,
    master: MasterOption = None,
    as_json: AsJson = False,
) -> None:
    """Read interactions, preferences and the catalogue into a snapshot under var/.

    Ages count from T, or from the newest interaction, never from the wall clock. Only what came since the
    current snapshot is read where it can be gone on from; the summary says when not, and why. With --engine
    spark, executors read, sort and cap all interactions; the snapshot is the same, to the bit.

    Example: recsys features build --until 2017-11-01
    Example: recsys features build --engine spark --master local[4]
    """
    moment = None if until is None else _moment(until)
    from features.build.builder import build_reported
    from recsys.processes.priority import give_way

    spark = chosen_session(engine, master, "features build")
    give_way()
    with nullcontext() if spark is None else spark as session, _progress() as report:
        read_all = None
        if session is not None:
            from features.build.spark_reader import SparkInteractionReader

            read_all = SparkInteractionReader(session)
        built = build_reported(get_settings(), moment, report, incremental=incremental, read_all=read_all)
    events = len(built.dataset.events)
    summary = _summary(built.dataset) | {
        "until": None if moment is None else moment.isoformat(),
        "guest_events": built.guests,
        "unknown_types": built.unknown_types,
        "undated": built.undated,
        "new_events": built.new,
        "full_because": built.whole or None,
        "preferences": built.preferences,
        "seconds": round(built.seconds, 3),
        "rows_per_second": round(events / built.seconds),
        "peak_rss_mib": _peak_rss_mib(),
    }
    _show(summary, as_json)


@app.command()
def preferences(as_json: AsJson = False) -> None:
    """Infer what each user likes from the current snapshot and write it to user_preferences.

    Categories, brands, colours, sizes, styles and price range; explicit preferences stay and take
    precedence. Without a snapshot one is built first. Run again it changes nothing.

    Example: recsys features preferences --json
    """
    import time

    from features.build.builder import build as build_dataset
    from features.build.snapshots import current
    from features.preference_job import write_preferences
    from recsys.errors import NotFound

    started = time.perf_counter()
    settings = get_settings()
    try:
        dataset = current(settings)
    except NotFound:
        with _progress() as report:
            dataset = build_dataset(settings, progress=report)
    written = write_preferences(settings, dataset)
    summary = written.as_json() | {
        "moment": _iso(dataset.moment),
        "fingerprint": dataset.fingerprint,
        "seconds": round(time.perf_counter() - started, 3),
    }
    _show(summary, as_json)


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show what the current snapshot holds.

    Example: recsys features show --json
    """
    from features.build.snapshots import current, current_record

    settings = get_settings()
    record = current_record(settings)
    summary = _summary(current(settings)) | {"until": record.get("until"), "built_at": record.get("built_at")}
    _show(summary, as_json)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(
            f"--until {text!r} is not a date; expected an ISO date or date and time, "
            "for example 2017-11-01 or 2017-11-01T18:30:00+02:00"
        ) from error
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise Invalid(f"--until {text!r} lies outside the years 1 to 9999") from error


def _summary(dataset: Dataset) -> dict[str, Any]:
    cells = len(dataset.users) * len(dataset.items)
    events = dataset.events
    return {
        "users": len(dataset.users),
        "items": len(dataset.items),
        "events": len(events),
        "pairs": dataset.matrix.nnz,
        "density": dataset.matrix.nnz / cells if cells else 0.0,
        "period": [_iso(int(events.time[0])), _iso(int(events.time[-1]))] if len(events) else None,
        "moment": _iso(dataset.moment),
        "fingerprint": dataset.fingerprint,
        "cut": dataset.cut.as_json(),
        "weights": dataset.weights.as_json(),
    }


def _iso(moment: int) -> str:
    from features.build.snapshots import iso

    return iso(moment)


def _show(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in summary.items():
        if value is not None:
            table.add_row(name.replace("_", " "), _readable(name, value))
    Console().print(table)


def _readable(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_readable(key, part)}" for key, part in value.items())
    if isinstance(value, list):
        return " – ".join(str(part) for part in value)
    if name == "density":
        return f"{value:.4%}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield report


def _peak_rss_mib() -> float:
    """The most memory this process ever held, in MiB."""
    import sys

    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
