"""`recsys backup`: the whole shop as a folder, its verification, and its restoration."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from recsys.backup.files import Progress

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Back up the database, models and files; verify and restore a backup."
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Folder = Annotated[Path, typer.Argument(help="Folder of the backup.", file_okay=False)]


@app.command(epilog="Example: recsys backup create /backups/2026-11-29 --json")
def create(folder: Folder, as_json: AsJson = False) -> None:
    """Write a backup into a new folder, while the shop serves.

    It holds one snapshot of PostgreSQL (pg_dump), the files below var/ (models, datasets, reports, MLflow),
    what only Redis has (carts, waiting writes), and a manifest with checksums.
    """
    from recsys.backup import creation
    from recsys.settings import get_settings

    with _progress("backing up") as progress:
        manifest = creation.create(get_settings(), folder, progress)
    if as_json:
        _json({"folder": str(folder), **asdict(manifest)})
        return
    typer.echo(
        f"{folder}: schema {manifest.schema}, {sum(manifest.tables.values()):,} rows of "
        f"{len(manifest.tables)} tables, {sum(manifest.lists.values()):,} stored lists, "
        f"{manifest.redis_keys:,} keys of Redis, "
        f"{len(manifest.files):,} files, {manifest.total_bytes / 2**20:,.1f} MiB"
    )


@app.command(epilog="Example: recsys backup verify /backups/2026-11-29")
def verify(folder: Folder, as_json: AsJson = False) -> None:
    """Compare a backup with its checksums; ends with 1 when something is missing or damaged."""
    from recsys.backup import verification

    with _progress("verifying") as progress:
        found = verification.verify(folder, progress)
    if as_json:
        _json({"faults": found.faults, "restorable": found.restorable, **asdict(found.manifest)})
    else:
        for fault in found.faults:
            typer.echo(fault)
        if not found.faults:
            typer.echo(
                f"{folder} is whole: {len(found.manifest.files):,} files of {found.manifest.created_at}, "
                f"schema {found.manifest.schema}; this program restores it: {found.restorable}"
            )
    raise typer.Exit(1 if found.faults else 0)


@app.command(epilog="Example: recsys backup restore /backups/2026-11-29 --json")
def restore(
    folder: Folder,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what the database, var/ and Redis hold.")
    ] = False,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Bring a backup of an older schema to the newest.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into the servers and the var/ of the settings, which must be empty.

    Stop the API, the relay and the consumers first. Stored lists are written to Redis from PostgreSQL.
    """
    from recsys.backup import restoration
    from recsys.settings import get_settings

    with _ended_by_signals(), _progress("restoring") as progress:
        done = restoration.restore(
            get_settings(), folder, overwrite=overwrite, migrate_after=migrate, progress=progress
        )
    if as_json:
        _json(asdict(done))
        return
    typer.echo(
        f"restored: schema {done.schema}, {done.rows:,} rows of {done.tables} tables, {done.files:,} files, "
        f"{done.redis_keys:,} keys of Redis; {done.cached_lists:,} stored lists are in Redis again"
    )
    if done.left_out:
        typer.echo(
            f"{done.left_out:,} rows on other servers referred to users who are not in the backup, as these "
            "came while it began: the rows are left out, or have no user"
        )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal that ends the process end the block first, so that it puts back what it set aside.

    The first signal raises KeyboardInterrupt in the block, at which psycopg ends its query, and after it
    SystemExit with 128 and the signal's number. Later signals are ignored until the block has ended.
    """
    received: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        for each in former:
            signal.signal(each, signal.SIG_IGN)
        received.append(number)
        raise KeyboardInterrupt

    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    ending = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # what is ignored, as by nohup, stays ignored
    former = {each: signal.getsignal(each) for each in ending if signal.getsignal(each) != signal.SIG_IGN}
    try:
        for each in former:
            signal.signal(each, interrupt)
        yield
    except KeyboardInterrupt:
        raise SystemExit(128 + received[0] if received else 130) from None
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)


@contextmanager
def _progress(title: str) -> Iterator[Progress]:
    """A line on stderr with what is copied, how much and how fast."""
    from rich.console import Console
    from rich.progress import DownloadColumn, SpinnerColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as ProgressLine

    columns = (SpinnerColumn(), TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with ProgressLine(*columns, console=console, transient=True, disable=not console.is_terminal) as line:
        task = line.add_task(title, total=None)

        def progress(name: str, size: int) -> None:
            line.update(task, advance=size, description=f"{title}: {name}")

        yield progress


def _json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
