"""`recsys events`, `recsys relay` and `recsys consume`: the vocabulary of events, and their transport."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys.embedded.servers import ServerStatus
    from recsys.events.lag import Lag

__all__ = ["app", "consume", "relay", "show_lag", "show_status"]

app = typer.Typer(help="The vocabulary of events; dead letters; repeated sending.")

AsJson = Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")]
Once = Annotated[bool, typer.Option("--once", help="End when nothing is left to do.")]


def relay(once: Once = False) -> None:
    """Move published events from PostgreSQL to their Redis streams, until Ctrl-C or SIGTERM.

    It also repeats periodic jobs, such as the expiry of unpaid orders. Several relays may run; one works and
    the others stand by.

    Example: recsys relay
    """
    from recsys.events import in_process
    from recsys.events import relay as relaying
    from recsys.observation.tracing import tracing

    with (
        tracing("relay"),
        in_process.stopped_by_signals() as stop,
        in_process.periodic_jobs(stop, once=once),
    ):
        sent = relaying.run(stop, once=once)
    typer.echo(f"{sent:,} events sent", err=True)


def consume(
    group: Annotated[str, typer.Argument(help="The group, such as `core`; its members share the work.")],
    once: Once = False,
) -> None:
    """Handle events for a group, until Ctrl-C or SIGTERM; work that has begun is finished first.

    Example: recsys consume core
    """
    from recsys.events import in_process
    from recsys.events.consumer import Consumer
    from recsys.observation.tracing import tracing

    consumer = Consumer(group)
    with tracing(f"consume {group}"), in_process.stopped_by_signals() as stop:
        handled = consumer.run(stop, once=once)
    typer.echo(f"{handled:,} events handled", err=True)


@app.command("list")
def list_events(as_json: AsJson = False) -> None:
    """Print every event: its name, version, stream and fields.

    Example: recsys events list --json
    """
    from recsys.events.event_catalogue import vocabulary

    described = vocabulary()
    if as_json:
        _json(described)
        return
    from rich.console import Console

    console = Console(highlight=False)
    stream = None
    for each in described:
        if each["stream"] != stream:
            stream = each["stream"]
            console.print(f"\n[bold]{stream}[/bold]")
        console.print(f"  {each['name']} v{each['version']}: {each['about']}")
        for field in each["fields"]:
            given = "" if field["required"] else ", optional"
            console.print(f"      {field['name']} ({field['type']}{given}): {field['about']}", markup=False)


@app.command()
def dead(as_json: AsJson = False) -> None:
    """Show the events that a group could not handle, why, and the command that replays each.

    Example: recsys events dead
    """
    from recsys.cache.client import get_redis
    from recsys.events.dead_letters import letters

    found = [asdict(each) for each in letters(get_redis())]
    if as_json:
        _json(found)
        return
    for each in found:
        typer.echo(f"{each['event']} {each['event_id']} for group {each['group']}, {each['failed_at']}")
        typer.echo(f"  tried {each['tries']} times: {each['error']}\n  {each['command']}")
    if not found:
        typer.echo("no dead letters")


@app.command()
def replay(
    dead_letters: Annotated[
        str | None, typer.Option("--dead", help="`all`, a stream, or STREAM/ENTRY as `events dead` shows it.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Send the outbox again from this moment (ISO 8601)."),
    ] = None,
) -> None:
    """Put dead letters back, or send events of the outbox again; groups drop what they have handled.

    Example: recsys events replay --dead all
    """
    if (dead_letters is None) == (since is None):
        raise Invalid("give either --dead WHICH or --since MOMENT")
    if dead_letters is not None:
        from recsys.cache.client import get_redis
        from recsys.events import dead_letters as letters

        typer.echo(f"{letters.replay(get_redis(), dead_letters):,} dead letters moved back to their streams")
        return
    assert since is not None
    from recsys.events.retention import send_again

    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise Invalid(f"{since!r} is not a date and time; expected e.g. 2026-11-23T10:00") from None
    count = send_again(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    typer.echo(f"{count:,} events will be sent again by the relay")


@app.command()
def trim(
    keep_hours: Annotated[
        float | None, typer.Option(min=0, help="Keep handled entries so long. Default: events.stream_hours.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Drop entries that every group has handled, and rows past their days. The relay does it too.

    What a group has not finished stays, as does the key of a payment that is not finished.

    Example: recsys events trim --keep-hours 1
    """
    from recsys.events import retention

    gone = retention.trim(keep_hours)
    outbox, inbox = retention.sweep()
    rows = {"outbox": outbox, "inbox": inbox, **retention.sweep_remembered()}
    if as_json:
        _json({"entries": sum(gone.values()), **rows})
        return
    counts = ", ".join(f"{count:,} rows of {table}" for table, count in rows.items())
    typer.echo(f"{sum(gone.values()):,} entries and {counts} were deleted")


@app.command()
def lag(as_json: AsJson = False) -> None:
    """Show what waits in the outbox, and how far each group is behind.

    Example: recsys events lag --json
    """
    from recsys.events.lag import measure

    found = measure()
    if as_json:
        _json(asdict(found))
    else:
        show_lag(found)


def show_lag(found: Lag) -> None:
    """What is on its way, for people."""
    age = "" if found.oldest_seconds is None else f", the oldest for {found.oldest_seconds:.0f} s"
    typer.echo(f"events: {found.outbox:,} wait in the outbox{age}")
    for each in found.groups:
        unread = "unknown" if each.unread is None else f"{each.unread:,}"
        lost = f", {each.lost:,} TRIMMED UNREAD (recsys events replay --since)" if each.lost else ""
        typer.echo(
            f"  {each.stream} → {each.group}: {unread} unread, {each.pending:,} in work, "
            f"{each.consumers} consumers{lost}"
        )
    for stream, count in found.dead.items():
        typer.echo(f"  {stream}: {count:,} dead letters (recsys events dead)")


def show_status(servers: Sequence[ServerStatus]) -> None:
    """The lag as a part of `recsys status`: of a shop that is up and has its schema."""
    if any(server.state not in ("running", "external") for server in servers):
        return
    from redis.exceptions import RedisError
    from sqlalchemy.exc import ProgrammingError

    from recsys.errors import RecsysError
    from recsys.events.lag import measure
    from recsys.events.retention import reason

    try:
        show_lag(measure())
    except ProgrammingError as error:
        typer.echo(f"events: the schema is not there yet, run `recsys migrate` ({reason(error)})")
    except (RecsysError, RedisError, OSError) as error:
        typer.echo(f"events: not known ({reason(error)})")


def _json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1) + "\n")
