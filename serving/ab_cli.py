"""`recsys serve ab-test`: test a model against the serving model, on a share of the shop's visitors."""

from __future__ import annotations

import json
import secrets
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys.processes.user import command_user

if TYPE_CHECKING:
    from recsys.domains.recommendations.ab_tests.tables import AbTest

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Test a model against the serving model, on live visitors. `recsys train live` shows its results.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Name = Annotated[str, typer.Argument(help="Name of the test, such as als-against-knn.")]
_HIDDEN = {"salt"}


@app.command(
    epilog="Example: recsys serve ab-test start als-against-knn --challenger als-v4 --share 0.2 --days 14 "
    '--reason "better offline, fewer bestsellers"'
)
def start(
    name: Name,
    challenger: Annotated[str, typer.Option(help="The registered model to test, such as als-v4.")],
    reason: Annotated[str, typer.Option(help="Purpose of the test; stored with it.")],
    share: Annotated[
        float, typer.Option(help="Share of the visitors who get the challenger's lists, between 0 and 1.")
    ] = 0.5,
    days: Annotated[
        float, typer.Option(help="Planned days; before that `recsys train live` makes no decision.")
    ] = 14.0,
    metric: Annotated[
        str, typer.Option(help="Metric that decides the test: clicked, carted, bought, revenue or spent.")
    ] = "bought",
    live_control: Annotated[
        bool,
        typer.Option(
            "--live-control",
            help="Rank the control's lists on request, too, as the challenger's are: the same conditions "
            "for both arms, at the price of slower responses.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start a test: running servers use it within seconds. One test runs at a time."""
    from models.registry import registry
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.ab_tests import service as ab_tests

    with unit_of_work() as session:
        row = ab_tests.start(
            session,
            name,
            challenger,
            share=share,
            days=days,
            metric=metric,
            salt=secrets.token_hex(16),
            live_control=live_control,
            actor=command_user(),
            reason=reason.strip(),
        )
        # a damaged artifact is refused before the test starts
        registry.load(registry.get(session, challenger))
        plain = _plain(row)
    if as_json:
        _print_json(plain)
        return
    typer.echo(
        f"{name} runs: {challenger} answers {share:.0%} of the visitors, {plain['control']} the others. "
        f"How it goes: recsys train live. End it: recsys serve ab-test stop {name} --reason …"
    )


@app.command(
    epilog='Example: recsys serve ab-test stop als-against-knn --reason "als-v4 sold more: promoting it"'
)
def stop(
    name: Name,
    reason: Annotated[str, typer.Option(help="Conclusion of the test; stored with it.")],
    as_json: AsJson = False,
) -> None:
    """Stop a test: the active model serves all visitors again within seconds, without a restart."""
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.ab_tests import service as ab_tests

    with unit_of_work() as session:
        plain = _plain(ab_tests.stop(session, name, actor=command_user(), conclusion=reason.strip()))
    if as_json:
        _print_json(plain)
        return
    typer.echo(
        f"{name} is stopped; {plain['control']} answers everybody. Promote the other one with: recsys train "
        f"promote {plain['challenger']} --reason …"
    )


@app.command(epilog="Example: recsys serve ab-test show als-against-knn --json")
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a test's settings, its duration, and the lists that each arm got."""
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.ab_tests import service as ab_tests

    with unit_of_work() as session:
        row = ab_tests.get(session, name)
        plain = _plain(row) | {"answered": ab_tests.answered(session, row)}
    if as_json:
        _print_json(plain)
        return
    for key, value in plain.items():
        if key == "answered":
            for arm, count in value.items():
                typer.echo(
                    f"{arm:13}{count['lists']:,} lists for {count['users']:,} users and "
                    f"{count['guests']:,} guests"
                )
        elif value is not None:
            typer.echo(f"{key:13}{value}")


@app.command("list", epilog="Example: recsys serve ab-test list")
def list_(as_json: AsJson = False) -> None:
    """List all tests, newest first."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.ab_tests import service as ab_tests

    with unit_of_work() as session:
        rows = [_plain(row) for row in ab_tests.listed(session)]
    if as_json:
        _print_json(rows)
        return
    if not rows:
        typer.echo("No A/B test was started yet.")
        return
    table = Table(box=None, padding=(0, 1))
    for column in ("name", "state", "control", "challenger", "share", "started", "ended", "conclusion"):
        table.add_column(column, overflow="fold", no_wrap=column != "conclusion")
    for row in rows:
        table.add_row(
            *(escape(str(row[key])) for key in ("name", "state", "control", "challenger")),
            f"{row['share']:.0%}",
            row["started_at"][:16],
            (row["ended_at"] or "–")[:16],
            escape(row["conclusion"] or "–"),
        )
    Console().print(table)


def _plain(row: AbTest) -> dict[str, Any]:
    plain_row: dict[str, Any] = {}
    for column in row.__table__.columns:
        if column.key not in _HIDDEN:
            value = getattr(row, column.key)
            plain_row[column.key] = (
                value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else value
            )
    return plain_row


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
