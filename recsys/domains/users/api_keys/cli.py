"""`recsys keys`: the API keys of programs that call the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from recsys.domains.users.tables import ApiKey

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke the API keys of programs.")

Json = Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, such as web-shop.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="recommend: read recommendations of anybody. events: send interactions, feedback, visits. "
            "admin: every /admin route. Repeat the option for several."
        ),
    ],
    expires_days: Annotated[
        float | None, typer.Option(help="Days until the key expires; default: never.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Requests a second, 0 for no limit; default: the setting api.rate_per_second.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once: only a hash of it is kept.

    Send it as `X-Api-Key: rk_…`; running servers know it at once.

    Example: recsys keys create web-shop --scope recommend --scope events
    """
    from recsys.database.session import unit_of_work
    from recsys.domains.users.api_keys import service as api_keys

    with unit_of_work() as session:
        made = api_keys.create(session, name, scope, expires_days=expires_days, rate_per_second=rate)
    if as_json:
        typer.echo(json.dumps({**_plain(made.row), "key": made.key}))
        return
    # the key alone on stdout, so that a script or a file takes it and nothing else
    typer.echo(made.key)
    until = f" until {made.row.expires_at:%Y-%m-%d %H:%M} UTC" if made.row.expires_at else ""
    typer.echo(
        f"key {made.row.prefix} ({made.row.name}) opens {', '.join(made.row.scopes)}{until}; "
        "store the line above; it is not shown again",
        err=True,
    )


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """Show every key by its prefix: what it opens, until when, and about when it was last used.

    Example: recsys keys list --json
    """
    from recsys.database.session import unit_of_work
    from recsys.domains.users.api_keys import service as api_keys

    with unit_of_work() as session:
        rows = [_plain(row) for row in api_keys.listed(session)]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        typer.echo("there is no key yet; create one: recsys keys create NAME --scope recommend")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    headings = ("prefix", "name", "scopes", "state", "created", "expires", "last used", "rate")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading not in ("name", "scopes"))
    for row in rows:
        moments = [(row[one] or "")[:10] for one in ("created_at", "expires_at", "last_used_at")]
        rate = "" if row["rate_per_second"] is None else f"{row['rate_per_second']:g}/s"
        table.add_row(row["prefix"], row["name"], ", ".join(row["scopes"]), row["state"], *moments, rate)
    Console(markup=False, highlight=False).print(table)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's prefix, its name, or the key itself.")],
    as_json: Json = False,
) -> None:
    """End a key for good; running servers refuse it within two seconds.

    Example: recsys keys revoke web-shop
    """
    from recsys.database.session import unit_of_work
    from recsys.domains.users.api_keys import service as api_keys

    with unit_of_work() as session:
        row = _plain(api_keys.revoke(session, key))
    typer.echo(json.dumps(row) if as_json else f"key {row['prefix']} ({row['name']}) is revoked")


def _plain(row: ApiKey) -> dict[str, Any]:
    from recsys.domains.users.api_keys import service as api_keys

    moments = ("created_at", "expires_at", "revoked_at", "last_used_at")
    values = {name: getattr(row, name) for name in moments}
    return {
        "prefix": row.prefix,
        "name": row.name,
        "scopes": row.scopes,
        "state": api_keys.state_of(row),
        "rate_per_second": row.rate_per_second,
        **{name: None if moment is None else moment.isoformat() for name, moment in values.items()},
    }
