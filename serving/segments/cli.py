"""`recsys segments`: which users a campaign should address, and about what."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from serving.segments.members import Segment

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Which users a campaign should address, and about what.")

Limit = Annotated[int, typer.Option(min=1, max=1_000_000, help="Users at most.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
AsCsv = Annotated[Path | None, typer.Option("--csv", help="Write the users to this file; - for stdout.")]
Days = Annotated[float, typer.Option(help="Changed in so many days.")]
LookedDays = Annotated[float, typer.Option(help="The user looked at it in so many days before.")]


@app.command(epilog="Example: recsys segments buyers --category-id 12 --limit 500 --csv buyers.csv")
def buyers(
    product_id: Annotated[list[int] | None, typer.Option(help="A product; may be repeated.")] = None,
    category_id: Annotated[int | None, typer.Option(help="Products of this category and below it.")] = None,
    brand_id: Annotated[int | None, typer.Option(help="Products of this brand.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Only users who never looked at the product.")] = False,
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    as_json: AsJson = False,
) -> None:
    """Find who most likely buys a product, or anything of a category or brand, with the calibrated chance."""
    _run(
        "buyers", to_csv, as_json, limit=limit, product_ids=tuple(product_id or ()), category_id=category_id,
        brand_id=brand_id, new=new,
    )  # fmt: skip


@app.command("look-alikes", epilog="Example: recsys segments look-alikes --user-id 3 --user-id 9 --json")
def look_alikes(
    user_id: Annotated[list[int], typer.Option(help="A user of the segment; may be repeated.")],
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    as_json: AsJson = False,
) -> None:
    """Find the users whose interactions are most like those of the given users."""
    _run("look-alikes", to_csv, as_json, limit=limit, user_ids=tuple(user_id))


@app.command("next-category", epilog="Example: recsys segments next-category --csv next.csv")
def next_category(limit: Limit = 1_000, to_csv: AsCsv = None, as_json: AsJson = False) -> None:
    """Find for each user the category they do not know yet that holds their likeliest product."""
    _run("next-category", to_csv, as_json, limit=limit)


@app.command(epilog="Example: recsys segments replenishment --days 7 --csv due.csv")
def replenishment(
    days: Annotated[float, typer.Option(help="Due within so many days.")] = 7.0,
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    as_json: AsJson = False,
) -> None:
    """Find who needs a product again soon, by the intervals of purchases."""
    _run("replenishment", to_csv, as_json, limit=limit, days=days)


@app.command("price-drop", epilog="Example: recsys segments price-drop --days 3 --json")
def price_drop(
    days: Days = 7.0,
    looked_days: LookedDays = 60.0,
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    as_json: AsJson = False,
) -> None:
    """Find who looked at a product, without buying it, that costs less now."""
    _run("price-drop", to_csv, as_json, limit=limit, days=days, looked_days=looked_days)


@app.command("back-in-stock", epilog="Example: recsys segments back-in-stock --csv again.csv")
def back_in_stock(
    days: Days = 7.0,
    looked_days: LookedDays = 60.0,
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    as_json: AsJson = False,
) -> None:
    """Find who looked at a product, without buying it, that is in stock again."""
    _run("back-in-stock", to_csv, as_json, limit=limit, days=days, looked_days=looked_days)


def _run(kind: str, to_csv: Path | None, as_json: bool, **request: Any) -> None:
    from recsys.database.session import unit_of_work
    from recsys.errors import Invalid
    from recsys.processes.priority import give_way
    from serving.segments.members import SegmentKind, as_csv
    from serving.segments.service import SegmentRequest, make

    if to_csv is not None and as_json:
        raise Invalid("give --csv or --json, not both")
    give_way()
    with unit_of_work() as session:
        segment = make(session, SegmentRequest(SegmentKind(kind), **request))
    if as_json:
        typer.echo(json.dumps(asdict(segment), indent=2, default=lambda moment: moment.isoformat()))
    elif to_csv is not None and str(to_csv) == "-":
        typer.echo(as_csv(segment.members), nl=False)
    elif to_csv is not None:
        try:
            to_csv.write_text(as_csv(segment.members), encoding="utf-8", newline="")
        except OSError as error:
            raise Invalid(f"--csv {to_csv} cannot be written: {error.strerror}") from error
        typer.echo(f"{len(segment.members):,} users: {to_csv}")
    else:
        _show(segment)


def _show(segment: Segment) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("user", "product", "category", "chance", "similarity", "at", box=None)
    for member in segment.members:
        table.add_row(
            str(member.user_id),
            "" if member.product_id is None else str(member.product_id),
            "" if member.category_id is None else str(member.category_id),
            "" if member.chance is None else f"{member.chance:.4f}",
            "" if member.similarity is None else f"{member.similarity:.4f}",
            "" if member.at is None else f"{member.at:%Y-%m-%d %H:%M}",
        )
    console = Console()
    console.print(table)
    by = "" if segment.model is None else f", by {segment.model}"
    console.print(f"{len(segment.members):,} users{by}", style="dim", highlight=False)
