"""`recsys serve`: score all users, and serve over HTTP."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from recsys.spark.engine import Engine, EngineOption, MasterOption, chosen_session
from serving import ab_cli, rules_cli

__all__ = ["app"]

app = typer.Typer(help="Stored recommendations, and the HTTP API.", no_args_is_help=True)
app.add_typer(ab_cli.app, name="ab-test")
app.add_typer(rules_cli.app, name="rules")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]


@app.command(
    epilog="Example: recsys serve score --if-needed --json; with Spark: recsys serve score --engine spark"
)
def score(
    if_needed: Annotated[
        bool,
        typer.Option(
            "--if-needed",
            help="Do nothing while the stored lists are fresh and of the active model, or none is active.",
        ),
    ] = False,
    changed: Annotated[
        bool,
        typer.Option(
            "--changed",
            help="Only lists of users who did something since the last scoring, if the same model serves.",
        ),
    ] = False,
    engine: EngineOption = Engine.LOCAL,
    master: MasterOption = None,
    as_json: AsJson = False,
) -> None:
    """Write the lists of users, as one generation, to PostgreSQL and Redis.

    Readers get the previous lists until the new ones are complete. Users without an interaction or a log-in
    in RECSYS_SERVING__STORED_ACTIVE_DAYS get no list, and are answered live. With --changed or --if-needed
    the lists of users who did nothing stay as they are, until RECSYS_SERVING__FULL_AFTER_HOURS are over.
    """
    from contextlib import nullcontext

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from models.registry import registry
    from recsys.database.session import unit_of_work
    from recsys.errors import Invalid
    from recsys.processes.priority import give_way
    from serving.batch import scoring
    from serving.batch.list_storage import UserListWriter, write_user_lists
    from serving.batch.progress_lines import RateLines

    if if_needed and changed:
        raise Invalid("--if-needed and --changed exclude each other: --if-needed chooses what is due")
    spark = chosen_session(engine, master, "serve score")
    give_way()
    columns = (
        TextColumn("scoring users"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        nullcontext() if spark is None else spark as session,
        Progress(*columns, console=Console(stderr=True), transient=True) as bar,
    ):
        task, started = bar.add_task("scoring", total=None), perf_counter()
        lines = RateLines(is_log=not bar.console.is_terminal)

        def progress(done: int, total: int) -> None:
            if line := lines.line(done, total, perf_counter() - started):
                bar.console.print(line)
            bar.update(task, completed=done, total=total)

        write: UserListWriter = write_user_lists
        if session is not None:
            from serving.batch.spark_lists import SparkListWriter

            write = SparkListWriter(session)
        run = scoring.score_changed if changed else scoring.score
        report = (scoring.score_if_needed if if_needed else run)(progress, write=write)
    if as_json:
        plain = {"scored": report is not None, **({} if report is None else asdict(report))}
        sys.stdout.write(json.dumps(plain) + "\n")
        return
    console = Console(highlight=False)
    if report is None:
        with unit_of_work() as session:
            is_new = registry.active(session) is None
        console.print(
            "No model is active, so there is nothing to score; run `recsys train run` and promote its model."
            if is_new
            else "The stored recommendations are fresh and of the active model; nothing to do."
        )
        return
    if report.whole:
        console.print(f"The lists of all users were made: {report.whole}.")
    console.print(
        f"Generation {report.generation} by {report.model} is live: {report.rows:,} recommendations "
        f"for {report.ranked:,} users in {report.seconds:.1f} s."
    )
    if report.kept or report.removed:
        console.print(
            f"{report.kept:,} users who did nothing since keep their lists; "
            f"{report.removed:,} get none any more."
        )
    if report.shared:
        console.print(f"{report.shared:,} lists of products and for everybody are stored with them.")
    if report.inactive:
        console.print(f"{report.inactive:,} users were inactive for long: they are answered live.")
    if report.filled:
        console.print(f"{report.filled:,} of these lists were completed with popular products.")
    if not report.redis:
        console.print("Redis did not take the lists; lists come from PostgreSQL until it is back.")


@app.command(epilog="Example: recsys serve api --port 8080")
def api(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Default: the setting api.host.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port. Default: the setting api.port, or the next free one."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port.")] = 1,
) -> None:
    """Serve over HTTP until Ctrl-C; /docs shows the API in a browser."""
    from contextlib import nullcontext

    from rich.console import Console

    from recsys import log
    from recsys.settings import get_settings
    from recsys.web.shared_metrics import counted_together

    settings = get_settings()
    log.configure(settings.log_level)
    console = Console(highlight=False)

    def announce(url: str) -> None:
        console.print(f"recsys answers at {url}  (documentation: {url}/docs; Ctrl-C stops it)")

    with counted_together() if workers > 1 else nullcontext():
        from serving.server.server import serve

        serve(settings, host or settings.api.host, port, workers, announce)


@app.command("mcp", epilog="Example: recsys serve mcp --api http://127.0.0.1:8000 --key-file agent.key")
def serve_mcp(
    api_url: Annotated[
        str, typer.Option("--api", metavar="URL", help="Address of the API.")
    ] = "http://127.0.0.1:8000",
    key_file: Annotated[
        Path | None,
        typer.Option(help="File with the agent's API key; default: the variable RECSYS_API_KEY."),
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP at /mcp, not stdio.")] = False,
    host: Annotated[str, typer.Option(help="With --http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="With --http: the port.")] = 8765,
) -> None:
    """Offer search, lists, explanations and previews of rules to agents (Model Context Protocol).

    Every tool calls the API with the agent's key: `recommend` for lists of users, `admin` for previews.
    With --http each request carries its own key as X-Api-Key.
    """
    from recsys.errors import Invalid
    from serving.agents.process import run

    try:
        key = os.environ.get("RECSYS_API_KEY") if key_file is None else key_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"The key file {key_file} cannot be read: {error}") from error
    run(api_url, key or None, host=host if http else None, port=port)


@app.command("intake", epilog="Example: recsys serve intake")
def intake(
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is left to store.")] = False,
    dead: Annotated[bool, typer.Option("--dead", help="Show what could not be stored, and why.")] = False,
    replay: Annotated[
        str | None,
        typer.Option(help="Queue dead letters again: `all`, a stream, or STREAM/ENTRY as --dead shows it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store impressions and queued posts of Redis in PostgreSQL, until Ctrl-C or SIGTERM.

    `recsys serve api` does this itself where it also handles events. Several may run; one is active.
    """
    from recsys.write_buffer import drain

    if dead:
        letters = drain.dead_letters()
        if as_json:
            sys.stdout.write(json.dumps(letters) + "\n")
            return
        for letter in letters:
            typer.echo(
                f"{letter.get('at', '?')} {letter['stream']}/{letter['entry']}: {letter.get('reason', '?')}\n"
                f"  {letter.get('data', '')}"
            )
        if not letters:
            typer.echo("no dead letters")
        return
    if replay is not None:
        moved = drain.replay(replay)
        if as_json:
            sys.stdout.write(json.dumps({"replayed": moved}) + "\n")
        else:
            typer.echo(f"{moved:,} dead letters queued again")
        return
    from recsys.events import in_process
    from recsys.observation.tracing import tracing

    with tracing("intake"), in_process.stopped_by_signals() as stop:
        moved = drain.run(stop, once=once)
    if as_json:
        sys.stdout.write(json.dumps({"moved": moved}) + "\n")
    else:
        typer.echo(f"{moved:,} impressions and posts stored", err=True)
