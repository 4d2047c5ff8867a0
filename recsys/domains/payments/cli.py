"""`recsys payments`: finish what was left in the middle."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Jobs of payments.")


@app.callback()
def payments() -> None:
    """Jobs of payments."""


@app.command()
def settle(
    older_than: Annotated[
        float, typer.Option(min=0.0, help="Skip payments younger than this many seconds.")
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")] = False,
) -> None:
    """Settle payments and refunds whose answer from the gateway is missing; run it each minute.

    Refused refunds of cancelled orders are tried again, in growing pauses.

    Example: recsys payments settle
    """
    from recsys.domains.payments.processing import settle_all
    from recsys.domains.payments.refunds.cancellation_refunds import again
    from recsys.domains.payments.refunds.refunds import settle_refunds

    settled = settle_all(older_than=timedelta(seconds=older_than))
    refunds = settle_refunds()
    returned = again()
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "payments": {str(key): value for key, value in settled.items()},
                    "refunds": refunds,
                    "asked_again": {str(key): value for key, value in returned.items()},
                }
            )
        )
        return
    for payment_id, status in settled.items():
        typer.echo(f"payment {payment_id}: {status}")
    for payment_id, status in returned.items():
        typer.echo(f"payment {payment_id} of a cancelled order, asked again: {status}")
    typer.echo(f"{len(settled)} payments looked at, {refunds} refunds finished.")
