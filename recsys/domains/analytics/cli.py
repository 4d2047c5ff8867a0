"""`recsys analytics`: compute the daily figures from events and orders."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Daily figures of the shop.")
_FORMAT = ["%Y-%m-%d"]


@app.callback()
def analytics() -> None:
    """Daily figures of the shop."""


@app.command()
def rollup(
    day: Annotated[datetime | None, typer.Option(formats=_FORMAT, help="Only this day.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=_FORMAT, help="The first day.")] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=_FORMAT, help="The last day; default: today.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")] = False,
) -> None:
    """Compute visits, sales and product figures of some days; by default of yesterday and today.

    It may run any number of times: figures that exist are replaced, and late events are counted.

    Example: recsys analytics rollup --since 2026-03-01 --until 2026-03-31
    """
    from dataclasses import asdict
    from datetime import timedelta

    from rich.console import Console
    from rich.progress import track

    from recsys.domains.analytics.calendar import Days, today
    from recsys.domains.analytics.rollup import PIECE, RolledUp, roll_up_days
    from recsys.errors import Invalid
    from recsys.settings import get_settings

    if day is not None and (since is not None or until is not None):
        raise Invalid("Give either --day, or --since and --until, not both.")
    now = today()
    if day is not None:
        first = last = day.date()
    else:
        last = now if until is None else until.date()
        first = min(last, now) - timedelta(days=1) if since is None else since.date()
    total = RolledUp()
    pieces = list(Days.between(first, last).pieces(PIECE))
    console = Console(stderr=True)
    for piece in track(pieces, "Days", console=console, transient=True, disable=not console.is_terminal):
        total += roll_up_days(piece)
    if as_json:
        typer.echo(json.dumps({"since": str(first), "until": str(last), **asdict(total)}))
        return
    typer.echo(
        f"{first} to {last}: {total.visits} visits; {total.sales_changed} of {total.days} days "
        f"and {total.products_changed} of {total.product_rows} product days changed, "
        f"{total.products_dropped} deleted."
    )
    if total.other_currencies:
        typer.echo(
            f"{total.other_currencies} orders are not in {get_settings().shop.currency} "
            "and are not in these sums."
        )
