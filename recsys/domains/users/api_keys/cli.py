"""`recsys keys`: the API keys of programs that call the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys.processes.user import command_user

if TYPE_CHECKING:
    from recsys.domains.users.tables import ApiKey

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Create, list and revoke the API keys of programs and web pages."
)

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
        made = api_keys.create(
            session, name, scope, by=command_user(), expires_days=expires_days, rate_per_second=rate
        )
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


@app.command()
def publish(
    name: Annotated[str, typer.Argument(help="What the key is for, such as web-page.")],
    origin: Annotated[
        list[str],
        typer.Option(
            help="Origin of the pages, such as https://shop.example. Give the option once for each."
        ),
    ],
    expires_days: Annotated[
        float | None, typer.Option(help="The key ends so many days from now; default: never.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Requests a second of one visitor's address, 0 for no limit; default: the setting "
            "api.page_rate_per_second.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a publishable key for the HTML of web pages, bound to their origins, and show it.

    It sends events and asks for lists of the page's visitor, and nothing else.

    Example: recsys keys publish web-page --origin https://shop.example
    """
    from recsys.database.session import unit_of_work
    from recsys.domains.users.api_keys import service as api_keys

    with unit_of_work() as session:
        created = api_keys.publish(
            session, name, origin, by=command_user(), expires_days=expires_days, rate_per_second=rate
        )
    if as_json:
        typer.echo(json.dumps({**_plain(created.row), "key": created.key}))
        return
    typer.echo(created.key)
    typer.echo(
        f"key {created.row.prefix} ({created.row.name}) is for pages of {', '.join(created.row.origins)}; "
        f"`recsys keys secret {created.row.prefix}` prints the secret that signs user tokens",
        err=True,
    )


@app.command()
def secret(
    key: Annotated[str, typer.Argument(help="The publishable key, its prefix or its name.")],
    as_json: Json = False,
) -> None:
    """Print the signing secret of a publishable key, with which the shop's server signs user tokens.

    It is derived from the setting api.user_token_secrets, and stored nowhere.

    Example: recsys keys secret web-page > signing.secret
    """
    from recsys.database.session import unit_of_work
    from recsys.domains.users.api_keys import service as api_keys

    with unit_of_work() as session:
        _print_secret(api_keys.publishable(session, key), as_json)


@app.command()
def rotate(
    key: Annotated[str, typer.Argument(help="The publishable key, its prefix or its name.")],
    at_once: Annotated[
        bool,
        typer.Option(
            "--at-once", help="Refuse tokens of the former secret at once: for a secret that leaked."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Give a publishable key another signing secret, and print it; the key in the pages stays the same.

    The former secret is valid until the next rotation.

    Example: recsys keys rotate web-page > signing.secret
    """
    from recsys.database.session import unit_of_work
    from recsys.domains.users.api_keys import service as api_keys

    with unit_of_work() as session:
        _print_secret(api_keys.rotate(session, key, by=command_user(), at_once=at_once), as_json)


@app.command()
def snippet(
    key: Annotated[str, typer.Argument(help="The publishable key, as `recsys keys publish` printed it.")],
    api: Annotated[str, typer.Option(help="Address of the API, as browsers reach it.")],
    pinned: Annotated[
        bool, typer.Option("--pinned", help="This version of the script, with its integrity hash.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the line of HTML that brings lists and events to the pages of a shop.

    Example: recsys keys snippet "$(cat page.key)" --api https://recsys.shop.example
    """
    from recsys.domains.users.api_keys.service import prefix_of
    from recsys.errors import Invalid
    from recsys.web.browser import script

    if prefix_of(key.strip()) is None or not key.strip().startswith("pk_"):
        raise Invalid("expected a publishable key, pk_…; `recsys keys publish` creates one")
    line = script.snippet(api, key.strip(), pinned=pinned)
    typer.echo(json.dumps({"html": line, **script.script().model_dump()}) if as_json else line)


@app.command("user-token")
def user_token(
    key: Annotated[str, typer.Argument(help="The publishable key, its prefix or its name.")],
    user: Annotated[str, typer.Argument(help="The shop's own id of the user.")],
    minutes: Annotated[float, typer.Option(help="The token is valid for so long; at most a day.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Print a signed user token, to try a page; a shop's server signs its own.

    Example: recsys keys user-token web-page cust1000
    """
    from datetime import timedelta

    from recsys.database.session import unit_of_work
    from recsys.domains.users.api_keys import service as api_keys
    from recsys.web.access.user_tokens import make_user_token

    with unit_of_work() as session:
        signing_secret = _secret_of(api_keys.publishable(session, key))
    token = make_user_token(signing_secret, user, lifetime=timedelta(minutes=minutes))
    typer.echo(json.dumps({"token": token}) if as_json else token)


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
    headings = ("prefix", "name", "scopes", "origins", "state", "created", "expires", "last used", "rate")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading not in ("name", "scopes", "origins"))
    for row in rows:
        moments = [(row[name] or "")[:10] for name in ("created_at", "expires_at", "last_used_at")]
        rate = "" if row["rate_per_second"] is None else f"{row['rate_per_second']:g}/s"
        opened = [", ".join(row[name]) for name in ("scopes", "origins")]
        table.add_row(row["prefix"], row["name"], *opened, row["state"], *moments, rate)
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
        row = _plain(api_keys.revoke(session, key, by=command_user()))
    typer.echo(json.dumps(row) if as_json else f"key {row['prefix']} ({row['name']}) is revoked")


def _plain(row: ApiKey) -> dict[str, Any]:
    from recsys.domains.users.api_keys import service as api_keys

    columns = ("created_at", "expires_at", "revoked_at", "last_used_at")
    moments = {name: getattr(row, name) for name in columns}
    return {
        "prefix": row.prefix,
        "name": row.name,
        "scopes": row.scopes,
        "origins": row.origins,
        "state": api_keys.state_of(row),
        "rate_per_second": row.rate_per_second,
        **{name: None if moment is None else moment.isoformat() for name, moment in moments.items()},
    }


def _secret_of(row: ApiKey) -> str:
    from recsys.web.access.signing import user_token_secrets

    return user_token_secrets(row.prefix, row.signing_epoch)[0]


def _print_secret(row: ApiKey, as_json: bool) -> None:
    signing_secret = _secret_of(row)
    if as_json:
        typer.echo(json.dumps({"prefix": row.prefix, "name": row.name, "signing_secret": signing_secret}))
        return
    # the secret alone on stdout, for a file
    typer.echo(signing_secret)
    typer.echo(f"signs user tokens of the key {row.prefix} ({row.name}); keep it on the server", err=True)
