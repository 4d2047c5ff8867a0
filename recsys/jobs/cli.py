"""`recsys jobs`: what is scheduled, what ran, and starting a job now."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys.processes.user import command_user

if TYPE_CHECKING:
    from recsys.jobs.tables import JobRun

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Scheduled commands: the relay, or `recsys serve api` in development, starts them.",
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]


@app.command("list", epilog="Example: recsys jobs list")
def list_(as_json: AsJson = False) -> None:
    """List the jobs with their schedules, next starts and last runs."""
    from recsys.database.session import unit_of_work
    from recsys.jobs import service

    with unit_of_work() as session:
        rows = [
            {
                "job": state.job.name,
                "command": state.job.command,
                "schedule": state.schedule,
                "next_at": _text(state.next_at),
                "state": None if state.latest is None else state.latest.state,
                "outcome": None if state.latest is None else state.latest.outcome,
            }
            for state in service.overview(session)
        ]
        alive = service.is_scheduler_alive(session)
    if as_json:
        _print_json({"scheduler": alive, "jobs": rows})
        return
    _show(rows, ("job", "schedule", "next_at", "state", "outcome"))
    if not alive:
        typer.echo("No process starts jobs now; `recsys relay` does.", err=True)


@app.command(epilog="Example: recsys jobs run train")
def run(
    job: Annotated[str, typer.Argument(help="Name of a job; `recsys jobs list` has them.")],
    as_json: AsJson = False,
) -> None:
    """Have a job started now, by the process that starts jobs."""
    from recsys.database.session import unit_of_work
    from recsys.jobs import service

    with unit_of_work() as session:
        queued = service.request(session, job, by=command_user())
        plain, alive = _plain(queued), service.is_scheduler_alive(session)
    if as_json:
        _print_json(plain)
        return
    typer.echo(f"Run {plain['id']} of {job} is queued; `recsys jobs history` shows how it goes.")
    if not alive:
        typer.echo("No process starts jobs now; start `recsys relay`.", err=True)


@app.command(epilog="Example: recsys jobs stop 17")
def stop(
    run_id: Annotated[int, typer.Argument(min=1, max=2**31 - 1, help="Number of the run.")],
    as_json: AsJson = False,
) -> None:
    """End a run that waits or runs."""
    from recsys.database.session import unit_of_work
    from recsys.jobs import service

    with unit_of_work() as session:
        plain = _plain(service.stop(session, run_id, by=command_user()))
    if as_json:
        _print_json(plain)
        return
    ended = plain["state"] == "stopped"
    typer.echo(f"Run {run_id} is stopped." if ended else f"Run {run_id} is asked to end.")


@app.command(epilog="Example: recsys jobs history --job train --json")
def history(
    job: Annotated[str | None, typer.Option(help="Of this job only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many of the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the runs, newest first, those that were missed included."""
    from recsys.database.session import unit_of_work
    from recsys.jobs import service

    with unit_of_work() as session:
        rows = [_plain(each) for each in service.history(session, job=job, limit=limit)]
    if as_json:
        _print_json(rows)
        return
    _show(rows, ("id", "job", "state", "due_at", "ended_at", "outcome"))


def _plain(run: JobRun) -> dict[str, Any]:
    names = ("id", "job", "state", "cause", "requested_by", "exit_code", "missed_starts", "outcome")
    moments = ("due_at", "started_at", "ended_at")
    return {name: getattr(run, name) for name in names} | {
        name: _text(getattr(run, name)) for name in moments
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _show(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 1))
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(escape("–" if row[column] is None else str(row[column])) for column in columns))
    Console().print(table)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
