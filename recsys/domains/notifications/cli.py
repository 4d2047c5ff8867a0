"""`recsys notifications`: send what is queued."""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Send e-mail and text messages.")


@app.callback()
def notifications() -> None:
    """Send e-mail and text messages."""


@app.command()
def send(
    once: Annotated[bool, typer.Option("--once", help="Send what is due now and end.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")] = False,
) -> None:
    """Send queued e-mail and text messages, until stopped; several may run side by side.

    Example: recsys notifications send --once
    """
    from recsys.domains.notifications.delivery import deliver_due
    from recsys.events.in_process import stopped_by_signals

    total = {"sent": 0, "retried": 0, "failed": 0}
    with stopped_by_signals() as stop:
        while True:
            counts = deliver_due()
            total = {name: total[name] + counts.get(name, 0) for name in total}
            if sum(counts.values()):
                continue
            if once or stop.wait(every):
                break
    if as_json:
        typer.echo(json.dumps(total))
    else:
        typer.echo(f"{total['sent']} sent, {total['retried']} to be tried again, {total['failed']} given up.")
