"""`recsys simulate`: a shop of any size with known tastes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from recsys.simulation.shop import SimulationReport

__all__ = ["simulate"]


def simulate(
    folder: Annotated[
        Path, typer.Argument(help="An empty folder, or one to make; the truth is written there, too.")
    ],
    users: Annotated[int, typer.Option(help="Accounts.")] = 1_000,
    products: Annotated[int, typer.Option(help="Products; about 1.4 √products categories.")] = 500,
    interactions: Annotated[int, typer.Option(help="Expected number, met within some per cent.")] = 50_000,
    days: Annotated[int, typer.Option(help="Length of the period.")] = 365,
    until: Annotated[
        str | None, typer.Option(help="Its end, ISO 8601 (UTC without an offset). Default: today, 0:00 UTC.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="The same seed, sizes and --until give the same shop, to the bit.")
    ] = 0,
    taste: Annotated[
        float, typer.Option(help="How much tastes decide about views; 0: popularity and season alone.")
    ] = 6.0,
    zipf: Annotated[float, typer.Option(help="Exponent of the products' popularity by rank.")] = 1.0,
    repeat: Annotated[
        float, typer.Option(help="Probability that a purchase of a consumable product is repeated.")
    ] = 0.5,
    form: Annotated[str, typer.Option("--format", help="Of the files: parquet or csv.")] = "parquet",
    database: Annotated[
        bool,
        typer.Option(
            "--database", help="Write into PostgreSQL by COPY, not to files; no interaction may be there yet."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make a shop of any size whose tastes are known: users, a catalogue tree, visits, repeats, seasons.

    FOLDER gets products.parquet, users/ and interactions/, which `recsys import csv` takes, and truth.npz
    with shop.json: the tastes, popularities and seasons from which everything was drawn, so that the
    accuracy of a model can be compared with the best possible (`recsys.simulation.truth.ShopTruth`). Memory
    holds these and one block of users, whatever the number of interactions.

    Example: recsys simulate shop/ --users 100000 --products 20000 --interactions 5000000 --seed 7 --json
    """
    from recsys.progress_bar import progress_bar
    from recsys.simulation.parameters import ShopParameters
    from recsys.simulation.shop import simulate as simulate_shop

    parameters = ShopParameters(
        users=users, products=products, interactions=interactions, until=_moment(until), days=days, seed=seed,
        taste=taste, zipf=zipf, repeat=repeat,
    )  # fmt: skip
    with progress_bar() as progress:
        report = simulate_shop(parameters, folder, form=form, database=database, progress=progress)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
    else:
        _show(report)


def _moment(given: str | None) -> datetime:
    from datetime import UTC, datetime

    from recsys import clock
    from recsys.errors import Invalid

    if given is None:
        return clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise Invalid(f"--until {given!r} is not a moment in ISO 8601, such as 2026-11-29") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _show(report: SimulationReport) -> None:
    kinds = ", ".join(f"{count:,} {name}" for name, count in report.by_type.items())
    typer.echo(
        f"{report.interactions:,} interactions ({kinds}) of {report.users:,} users with {report.products:,} "
        f"products in {report.categories:,} categories, {report.first_day[:10]} to {report.until[:10]}, "
        f"in {report.seconds:.1f} s with {report.peak_memory_mib:,.0f} MiB."
    )
    typer.echo(f"The truth is in {report.folder}. Next:")
    for command in report.next:
        typer.echo(f"  {command}")
