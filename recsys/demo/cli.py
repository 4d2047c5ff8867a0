"""`recsys demo`, and the visitors of its shop front."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(invoke_without_command=True)


@app.callback()
def demo(
    context: typer.Context,
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="End after the table instead of serving until Ctrl-C.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the table's figures to this file, as JSON.")
    ] = None,
) -> None:
    """From nothing to served recommendations on a year of real purchases; Ctrl-C stops everything.

    Example: recsys demo --no-serve --json figures.json
    """
    if context.invoked_subcommand is not None:
        return
    from recsys.demo.run import run
    from recsys.settings import get_settings

    run(get_settings(), serve=not no_serve, figures=json_file)


@app.command()
def traffic(
    minutes: Annotated[float, typer.Option(help="How long visitors come.", min=0.01, max=1440)] = 2.0,
    visitors: Annotated[int, typer.Option(help="Visits at the same time.", min=1, max=64)] = 6,
    pause: Annotated[
        float, typer.Option(help="Seconds between two steps of a visitor, on average.", min=0, max=60)
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Chooses the visitors and what they do.", min=0)] = 1,
    api: Annotated[
        str | None, typer.Option(metavar="URL", help="The server; default: the API that runs here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")] = False,
) -> None:
    """Send visitors to the demo shop front: they look, click, search, buy and dismiss, over HTTP.

    They are households and guests, so that the console and A/B tests have something to show. What they do is
    stored like everything else that happens in the shop: use it on demonstration data alone.

    Example: recsys demo traffic --minutes 2
    """
    from recsys.demo.traffic import send_traffic
    from recsys.environment import running_api
    from recsys.errors import Unavailable
    from recsys.settings import get_settings

    address = api or running_api(get_settings().var)
    if address is None:
        raise Unavailable("no API runs here; start it with `recsys serve api`, or name one by --api URL")
    with _progress_bar() as progress:
        report = send_traffic(
            address, minutes=minutes, visitors=visitors, pause=pause, seed=seed, progress=progress
        )
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=1))
        return
    for name, value in report.as_json().items():
        if name != "failures":
            typer.echo(f"{name.replace('_', ' '):<18} {value:>10,}")
    for reason, count in report.failures.items():
        typer.echo(f"failed {count}: {reason}", err=True)


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task("visitors", total=None)

        def show(seconds: int, total: int, visits: int) -> None:
            bar.update(task, completed=seconds, total=total, description=f"{visits} visits")

        yield show
