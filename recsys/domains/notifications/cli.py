"""`recsys notifications`: send queued messages."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from recsys.errors import Invalid

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Send e-mail and text messages.")


@app.callback()
def notifications() -> None:
    """Send e-mail and text messages."""


@app.command()
def send(
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on and send what becomes due, until stopped.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", hidden=True, help="The default; kept for cron.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="With --follow: seconds between two passes.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")] = False,
) -> None:
    """Send the e-mail and text messages that are due, and end; several may run at the same time.

    Example: recsys notifications send
    """
    if once and follow:
        raise Invalid("--once and --follow exclude each other; leave --once out, it is the default")
    from recsys.domains.notifications.delivery import deliver_due
    from recsys.events.in_process import stopped_by_signals

    total = {"sent": 0, "retried": 0, "failed": 0}
    with stopped_by_signals() as stop:
        while True:
            counts = deliver_due()
            total = {name: total[name] + counts.get(name, 0) for name in total}
            if sum(counts.values()):
                continue
            if not follow or stop.wait(every):
                break
    if as_json:
        typer.echo(json.dumps(total))
    else:
        typer.echo(f"{total['sent']} sent, {total['retried']} to be tried again, {total['failed']} given up.")
