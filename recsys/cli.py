"""The `recsys` command: servers, schema, health and demo; other packages plug in their commands."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Annotated

import typer
from typer.main import get_command

from recsys.artifacts import cli as artifacts
from recsys.backup import cli as backup
from recsys.demo import cli as demo
from recsys.errors import Invalid, RecsysError
from recsys.events import cli as events
from recsys.exports import cli as exports
from recsys.jobs import cli as jobs
from recsys.plugins import LazyRoot
from recsys.privacy import cli as privacy
from recsys.simulation import cli as simulation

if TYPE_CHECKING:
    from recsys.settings import Settings

__all__ = ["app", "main", "run"]

app = typer.Typer(
    cls=LazyRoot,
    name="recsys",
    help="Recommendations for a shop, from stored behaviour to what customers see.\n\n"
    "Start with `recsys demo`, or with `recsys up` and `recsys migrate`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(artifacts.app, name="artifacts")
app.add_typer(events.app, name="events", no_args_is_help=True)
app.add_typer(exports.app, name="export")
app.add_typer(demo.app, name="demo")
app.add_typer(jobs.app, name="jobs")
app.add_typer(privacy.app, name="privacy")
app.add_typer(backup.app, name="backup")
app.command()(events.relay)
app.command()(events.consume)
app.command()(simulation.simulate)

Json = Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """Recommendations for a shop, from stored behaviour to what customers see.

    Start with `recsys demo`, or with `recsys up` and `recsys migrate`.
    """
    if version:
        typer.echo(f"recsys {installed_version('recsys')}")
        raise typer.Exit
    if context.invoked_subcommand is None or context.resilient_parsing or "--help" in sys.argv:
        return
    import logging

    from recsys import log
    from recsys.private_folder import keep_private

    settings = _settings()
    # a folder that cannot be made is the fault of the commands that need it, and they say so
    with contextlib.suppress(OSError):
        keep_private(settings.var)
    level = settings.log_level
    try:
        log.configure(level.upper())
    except ValueError as error:
        raise Invalid(
            f"RECSYS_LOG_LEVEL is {level!r}; use DEBUG, INFO, WARNING, ERROR or CRITICAL"
        ) from error
    if level.upper() != "DEBUG":
        # Alembic tells the loading of each of its plugins.
        logging.getLogger("alembic").setLevel(logging.WARNING)


@app.command()
def up(
    throwaway: Annotated[
        bool, typer.Option(help="For tests: faster, and a crash of the machine may lose data.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start the embedded PostgreSQL and Valkey under var/ and return; those that run are left alone.

    Example: recsys up && recsys status
    """
    from recsys import embedded

    settings = _settings()
    done = embedded.start(settings, throwaway=throwaway)
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    servers = embedded.status(settings)
    if as_json:
        _json({"started": list(done.started), "servers": [asdict(each) for each in servers]})
        return
    for server in servers:
        if server.state == "external":
            typer.echo(f"{server.title}: your own at {server.address} is used; nothing is started for it")
        else:
            how = "started" if server.title in done.started else "was running already"
            typer.echo(f"{server.title} {server.version} {how} on {server.address} (process {server.pid})")


@app.command()
def down(
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Also delete all that PostgreSQL and Valkey have stored.")
    ] = False,
) -> None:
    """Stop the embedded servers cleanly; their data stays.

    Example: recsys down
    """
    from recsys import embedded

    settings = _settings()
    stopped = embedded.stop(settings)
    for title in stopped:
        typer.echo(f"{title} stopped")
    if not stopped:
        typer.echo("no embedded server was running")
    if delete_data:
        folder = embedded.remove(settings)
        typer.echo(f"{folder} deleted" if folder else "there was no data to delete")


@app.command()
def status(as_json: Json = False) -> None:
    """Show the servers (process, port, uptime, size of the data, version) and how far events are behind.

    Example: recsys status --json
    """
    from recsys import embedded

    servers = embedded.status(_settings())
    if as_json:
        _json([asdict(each) for each in servers])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("server", "state", "version", "address", "process", "up for", "data"):
        table.add_column(heading, overflow="fold")
    for each in servers:
        table.add_row(
            each.title,
            "your own" if each.state == "external" else each.state,
            each.version or "",
            each.address or "",
            str(each.pid or ""),
            _duration(each.uptime_seconds),
            "" if each.data_bytes is None else f"{each.data_bytes / 2**20:.1f} MiB",
        )
    Console().print(table)
    for each in servers:
        if each.log is not None:
            typer.echo(f"{each.title}'s data: {each.folder}\n{each.title}'s log:  {each.log}")
    events.show_status(servers)


@app.command()
def migrate(
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Change nothing: end with 0 where this program may run, 3 where migrations are pending, "
            "2 where a newer version has migrated beyond it.",
        ),
    ] = False,
    if_needed: Annotated[
        bool,
        typer.Option(
            "--if-needed",
            help="Change nothing where this program may run, on a newer schema too; deployments.",
        ),
    ] = False,
    move: Annotated[
        str | None,
        typer.Option(
            help="Move the rows of a server's tables (such as analytics) to it; stop the shop first."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring each database to the newest schema; safe to repeat.

    Example: recsys migrate --check
    """
    from recsys.database.servers import upgrades

    settings = _settings()
    if move is not None:
        moved = upgrades.move(settings, move)
        if as_json:
            _json(moved)
            return
        for table, rows in moved.items():
            typer.echo(f"{table}: {rows:,} rows moved")
        return
    if check:
        checked = upgrades.check(settings)
        if as_json:
            _json(checked.as_json())
        else:
            typer.echo("\n".join(checked.lines()))
        raise typer.Exit(checked.exit_code)
    done = upgrades.upgrade(settings, if_needed=if_needed)
    if as_json:
        _json(done.as_json())
        return
    typer.echo("\n".join(done.lines()))


@app.command()
def env(as_json: Json = False) -> None:
    """Print the addresses, passwords included, as lines for a shell. Nothing else ever prints a password.

    Example: eval "$(recsys env)" && psql "$DATABASE_URL"
    """
    from recsys import environment

    found = environment.read(_settings())
    if as_json:
        _json(asdict(found))
    else:
        typer.echo(environment.as_shell(found))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Examine each part and say what to do; ends with 1 when a part is broken.

    Example: recsys doctor
    """
    from recsys.diagnosis import doctor as health

    findings = health.examine(_settings())
    if as_json:
        _json([asdict(each) for each in findings])
    else:
        health.show(findings)
    raise typer.Exit(1 if any(each.state == "broken" for each in findings) else 0)


def main() -> None:
    """The console script."""
    from recsys.processes.fast_exit import FastExit
    from recsys.processes.priority import own_process

    fast_exit = FastExit()
    own_process()
    # modules are no garbage: looking for it at Python's pace is a seventh of the time that all imports take
    gc.set_threshold(20_000, 20, 50)
    for stream in (sys.stdout, sys.stderr):
        # a name with accents must not end a command whose terminal is ASCII
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not (sys.stdout.isatty() or sys.stderr.isatty()):
        # in a file or pipe a table may be as wide as its figures: cut to 80 columns it loses some
        os.environ.setdefault("COLUMNS", "160")
    fast_exit.leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0, 1 (failed), 2 (the input was wrong) or 130 (Ctrl-C)."""
    try:
        code = get_command(app).main(args=list(arguments), prog_name="recsys", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except RecsysError as error:
        return _complain(error.message, error.exit_code, error)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        if context is not None and type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(context.get_help())
            return 0
        path = context.command_path if context is not None else "recsys"
        text = " ".join(error.format_message().split())
        end = "" if text.endswith(("?", ".")) else "."
        return _complain(f"{path}: {text}{end} See `{path} --help`", error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:  # noqa: BLE001 the edge: whatever happens, a user reads one line
        return _complain_of_unexpected(error)


def _complain(message: str, code: int, error: BaseException | None = None) -> int:
    typer.echo(f"recsys: {message}" if not message.startswith("recsys") else message, err=True)
    if error is not None and _wants_trace():
        traceback.print_exception(error)
    return code


def _complain_of_unexpected(error: Exception) -> int:
    """One line; the trace only on request, and never the values of variables, which may be secret."""
    if _finds_no_table(error):
        return _complain("the database lacks a table that is needed; run `recsys migrate` first", 1, error)
    if type(error).__module__.startswith("redis."):
        reason = str(error).strip().partition("\n")[0]
        remedy = "start the embedded servers with `recsys up`, or correct RECSYS_REDIS__URL"
        return _complain(f"Redis does not answer ({reason}); {remedy}", 1, error)
    first = str(error).strip().partition("\n")[0]
    text = f"unexpected {type(error).__name__}: {first}" if first else f"unexpected {type(error).__name__}"
    hint = "" if _wants_trace() else " (run it with RECSYS_LOG_LEVEL=DEBUG to see where)"
    return _complain(text + hint, 1, error)


def _finds_no_table(error: Exception) -> bool:
    """PostgreSQL's undefined_table or invalid_schema_name, from psycopg or wrapped by SQLAlchemy."""
    origin = getattr(error, "orig", None) or error
    return getattr(origin, "sqlstate", None) in {"42P01", "3F000"}


def _wants_trace() -> bool:
    import os

    return os.environ.get("RECSYS_LOG_LEVEL", "").upper() == "DEBUG"


def _settings() -> Settings:
    from recsys.settings import get_settings

    return get_settings()


def _json(value: object) -> None:
    typer.echo(json.dumps(value, indent=1))


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, hours = seconds / 60, seconds / 3600
    return (
        f"{seconds:.0f} s" if seconds < 120 else f"{minutes:.0f} min" if minutes < 120 else f"{hours:.1f} h"
    )
