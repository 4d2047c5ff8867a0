"""`recsys orders`: the jobs of orders."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Jobs of orders and carts.")


@app.callback()
def orders() -> None:
    """Jobs of orders and carts."""


@app.command("abandoned-carts")
def abandoned_carts(
    idle_hours: Annotated[
        float | None,
        typer.Option(min=0.0, help="Hours without a change; default: the setting."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")] = False,
) -> None:
    """Store abandoned carts and publish an event for each; run it every hour.

    Example: recsys orders abandoned-carts --idle-hours 24
    """
    from recsys.database.session import unit_of_work
    from recsys.domains.orders.carts.abandoned_carts import BATCH, store_abandoned

    idle = None if idle_hours is None else timedelta(hours=idle_hours)
    stored = looked_at = 0
    while True:
        with unit_of_work() as session:
            found = store_abandoned(session, idle=idle)
        stored += found.stored
        looked_at += found.looked_at
        if found.looked_at < BATCH:
            break
    if as_json:
        typer.echo(json.dumps({"stored": stored, "looked_at": looked_at}))
    else:
        typer.echo(f"{stored} of {looked_at} unchanged carts stored as abandoned.")


@app.command()
def expire(
    older_than: Annotated[
        float | None,
        typer.Option(min=0.0, help="Minutes without a payment; default: the setting."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")] = False,
) -> None:
    """Cancel orders that were not paid in time and release their stock; run it every minute.

    Example: recsys orders expire --older-than 30
    """
    from recsys.domains.orders.expiry import expire_unpaid

    expired = expire_unpaid(None if older_than is None else timedelta(minutes=older_than))
    if as_json:
        typer.echo(json.dumps({"expired": expired}))
    else:
        typer.echo(f"{len(expired)} unpaid orders cancelled.")
