"""`recsys search`: build the index, compare it with the database, report searches."""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The index that searches are answered from.")
Json = Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")]


@app.callback()
def search() -> None:
    """The index that searches are answered from."""


@app.command()
def reindex(as_json: Json = False) -> None:
    """Build the whole index beside the current one.

    Needed after imports, and once a day so that popularity decays.

    Example: recsys search reindex
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import Progress

    from recsys.database.session import unit_of_work
    from recsys.processes.priority import give_way
    from recsys.search import cache, report
    from recsys.search.backends.factory import chosen

    give_way()
    index = chosen()
    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
        unit_of_work() as session,
    ):
        task = bar.add_task("Documents", total=None)
        done = index.reindex(session, lambda some, of: bar.update(task, completed=some, total=of))
        report.forget_old(session)
        cache.changed(session)
    if as_json:
        typer.echo(json.dumps({"index": index.name, **asdict(done)}))
    elif index.name == "postgresql":
        typer.echo(f"{done.products} products and {done.users} users differed; {done.words} words are known.")
    else:
        typer.echo(f"{done.products} products and {done.users} users are in {index.name}.")
    if done.errors:
        if not as_json:
            for error in done.errors[:20]:
                typer.echo(error, err=True)
            typer.echo(f"{len(done.errors)} documents were refused.", err=True)
        raise typer.Exit(1)


@app.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Update the differing documents.")] = False,
    as_json: Json = False,
) -> None:
    """Compare every document of the index with the database; exit code 1 when they differ.

    Example: recsys search verify --repair
    """
    from dataclasses import asdict

    from recsys.database.session import unit_of_work
    from recsys.search import cache
    from recsys.search.backends.factory import chosen

    index = chosen()
    with unit_of_work() as session:
        found = index.verify(session, repair=repair)
        if repair:
            cache.changed(session)
    differences = sum(one.total for one in found.values())
    if as_json:
        kinds = {name: asdict(compared) for name, compared in found.items()}
        typer.echo(json.dumps({"index": index.name, "differences": differences, "repaired": repair, **kinds}))
    else:
        for name, one in found.items():
            typer.echo(
                f"{name}: {one.checked} compared, {one.missing} missing, {one.stale} out of date, "
                f"{one.superfluous} too many"
                + (f" (such as {', '.join(map(str, one.examples))})" if one.examples else "")
            )
        if differences:
            typer.echo(
                "They were repaired." if repair else "Repair them with `recsys search verify --repair`."
            )
    if differences and not repair:
        raise typer.Exit(1)


@app.command("report")
def report_searches(
    days: Annotated[int, typer.Option(min=1, max=90, help="Number of days, today included.")] = 7,
    most: Annotated[int, typer.Option(min=1, max=1000, help="Number of queries of each kind.")] = 10,
    as_json: Json = False,
) -> None:
    """Report frequent searches, searches without results, and positions of clicked results.

    Example: recsys search report --days 30
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from recsys.database.session import unit_of_work
    from recsys.search.report import report

    with unit_of_work() as session:
        found = report(session, days=days, most=most)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    console = Console()
    console.print(
        f"{found.searches} searches in {days} days, {found.empty} without results, {found.clicks} clicks"
    )
    for title, queries in (("Not found", found.without_results), ("Most asked", found.most_asked)):
        table = Table("query", "searches", "without results", title=title)
        for one in queries:
            # a query is text, not markup
            table.add_row(one.query.replace("[", r"\["), str(one.searches), str(one.empty))
        console.print(table)
    table = Table("place", "clicks", title="Clicks by place")
    for position, clicks in found.clicks_by_position.items():
        table.add_row("behind" if position == 0 else str(position), str(clicks))
    console.print(table)
