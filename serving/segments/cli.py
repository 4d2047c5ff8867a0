"""`recsys segments`: which users a campaign should address, and about what."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.segments.stored_cli import app as stored_app

if TYPE_CHECKING:
    from serving.segments.members import NamedMember, Segment

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Which users a campaign should address, and about what.")
app.add_typer(stored_app, name="stored")

Limit = Annotated[int, typer.Option(min=1, max=1_000_000, help="Users at most.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
AsCsv = Annotated[Path | None, typer.Option("--csv", help="Write the users to this file; - for stdout.")]
MailBlock = Annotated[
    str | None,
    typer.Option(help="With --csv: an address of a mail block of this placement, such as for_you, for each."),
]
Places = Annotated[int, typer.Option(help="Products of each mail block.")]
Days = Annotated[float, typer.Option(help="Changed in so many days.")]
AsOf = Annotated[
    str | None, typer.Option(help="Count days from this moment, such as 2017-12-31 (UTC), not from now.")
]
LookedDays = Annotated[float, typer.Option(help="The user looked at it in so many days before.")]


@app.command(epilog="Example: recsys segments buyers --category slug:coffee --limit 500 --csv buyers.csv")
def buyers(
    product: Annotated[
        list[str] | None,
        typer.Option("--product", "--product-id", help="A product, number or sku:…; may be repeated."),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option("--category", "--category-id", help="With all below it; number, slug:… or name:…."),
    ] = None,
    brand: Annotated[
        str | None, typer.Option("--brand", "--brand-id", help="A brand; number, slug:… or name:….")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Only users who never looked at the product.")] = False,
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    mail_block: MailBlock = None,
    places: Places = 3,
    as_json: AsJson = False,
) -> None:
    """Find who most likely buys a product, or anything of a category or brand, with the calibrated chance."""
    _run(
        "buyers",
        _Output(to_csv, as_json, mail_block, places),
        limit=limit,
        products=product,
        category=category,
        brand=brand,
        new=new,
    )


@app.command(
    "look-alikes", epilog="Example: recsys segments look-alikes --user username:anna --user 9 --json"
)
def look_alikes(
    user: Annotated[
        list[str],
        typer.Option("--user", "--user-id", help="Like this user, number or username:…; may be repeated."),
    ],
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    mail_block: MailBlock = None,
    places: Places = 3,
    as_json: AsJson = False,
) -> None:
    """Find the users whose interactions are most like those of the given users."""
    _run("look-alikes", _Output(to_csv, as_json, mail_block, places), limit=limit, users=user)


@app.command("next-category", epilog="Example: recsys segments next-category --csv next.csv")
def next_category(
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    mail_block: MailBlock = None,
    places: Places = 3,
    as_json: AsJson = False,
) -> None:
    """Find for each user the category they do not know yet that holds their likeliest product."""
    _run("next-category", _Output(to_csv, as_json, mail_block, places), limit=limit)


@app.command(epilog="Example: recsys segments replenishment --days 7 --csv due.csv")
def replenishment(
    days: Annotated[float, typer.Option(help="Due within so many days.")] = 7.0,
    as_of: AsOf = None,
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    mail_block: MailBlock = None,
    places: Places = 3,
    as_json: AsJson = False,
) -> None:
    """Find who needs a product again soon, by the intervals of purchases."""
    _run("replenishment", _Output(to_csv, as_json, mail_block, places), limit=limit, days=days, as_of=as_of)


@app.command("price-drop", epilog="Example: recsys segments price-drop --days 3 --json")
def price_drop(
    days: Days = 7.0,
    looked_days: LookedDays = 60.0,
    as_of: AsOf = None,
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    mail_block: MailBlock = None,
    places: Places = 3,
    as_json: AsJson = False,
) -> None:
    """Find who looked at a product, without buying it, that costs less now."""
    _run(
        "price-drop",
        _Output(to_csv, as_json, mail_block, places),
        limit=limit,
        days=days,
        looked_days=looked_days,
        as_of=as_of,
    )


@app.command("back-in-stock", epilog="Example: recsys segments back-in-stock --csv again.csv")
def back_in_stock(
    days: Days = 7.0,
    looked_days: LookedDays = 60.0,
    as_of: AsOf = None,
    limit: Limit = 1_000,
    to_csv: AsCsv = None,
    mail_block: MailBlock = None,
    places: Places = 3,
    as_json: AsJson = False,
) -> None:
    """Find who looked at a product, without buying it, that is in stock again."""
    _run(
        "back-in-stock",
        _Output(to_csv, as_json, mail_block, places),
        limit=limit,
        days=days,
        looked_days=looked_days,
        as_of=as_of,
    )


@app.command(epilog="Example: recsys segments remind price-drop --days 1")
def remind(
    kind: Annotated[str, typer.Argument(help="price-drop, back-in-stock or replenishment.")],
    days: Annotated[float, typer.Option(help="Changed, or due, within so many days.")] = 1.0,
    looked_days: LookedDays = 60.0,
    limit: Limit = 10_000,
) -> None:
    """Send the members of a segment a notification about the product, each once within a period.

    The templates price_drop, back_in_stock and replenishment word it; users choose their channels.
    """
    from recsys.errors import Invalid
    from serving.segments import reminders
    from serving.segments.members import SegmentKind
    from serving.segments.service import SegmentRequest

    if kind not in reminders.REMINDED_KINDS:
        raise Invalid(f"{kind!r}: give one of {', '.join(reminders.REMINDED_KINDS)}")
    wanted = SegmentRequest(SegmentKind(kind), days=days, looked_days=looked_days, limit=limit)
    typer.echo(f"{reminders.remind(wanted):,} reminders are due; those sent lately are not repeated.")


@dataclass(frozen=True)
class _Output:
    """What becomes of the members.

    Attributes
    ----------
    mail_block
        Placement of the blocks whose addresses the CSV has.
    """

    to_csv: Path | None
    as_json: bool
    mail_block: str | None
    places: int


def _run(
    kind: str,
    output: _Output,
    *,
    products: Sequence[str] | None = None,
    category: str | None = None,
    brand: str | None = None,
    users: Sequence[str] | None = None,
    as_of: str | None = None,
    **request: Any,
) -> None:
    from recsys.database.session import unit_of_work
    from recsys.errors import Invalid
    from recsys.own_ids.commands import number_of, numbers_of
    from recsys.own_ids.scheme import IdKind
    from recsys.processes.priority import give_way
    from serving.segments.members import SegmentKind, as_csv, named
    from serving.segments.service import SegmentRequest, make

    to_csv = output.to_csv
    if to_csv is not None and output.as_json:
        raise Invalid("give --csv or --json, not both")
    blocks = _blocks(output)
    wanted = SegmentRequest(
        SegmentKind(kind),
        product_ids=tuple(numbers_of(IdKind.PRODUCT, products or ())),
        category_id=None if category is None else number_of(IdKind.CATEGORY, category),
        brand_id=None if brand is None else number_of(IdKind.BRAND, brand),
        user_ids=tuple(numbers_of(IdKind.USER, users or ())),
        as_of=None if as_of is None else _moment(as_of),
        **request,
    )
    give_way()
    with unit_of_work() as session:
        segment = make(session, wanted)
        members = named(session, segment.members)
    if output.as_json:
        plain = asdict(segment) | {"members": [asdict(member) for member in members]}
        typer.echo(json.dumps(plain, indent=2, default=lambda moment: moment.isoformat()))
    elif to_csv is not None and str(to_csv) == "-":
        typer.echo(as_csv(members, blocks), nl=False)
    elif to_csv is not None:
        try:
            to_csv.write_text(as_csv(members, blocks), encoding="utf-8", newline="")
        except OSError as error:
            raise Invalid(f"--csv {to_csv} cannot be written: {error.strerror}") from error
        people = len({member.user_id for member in members})
        lines = "" if people == len(members) else f", {len(members):,} lines"
        typer.echo(f"{people:,} users{lines}: {to_csv}{_counted_from(segment)}")
    else:
        _show(segment, members)


def _blocks(output: _Output) -> Callable[[int], str] | None:
    """What makes the address of a user's block; None without --mail-block. Raises Invalid."""
    from recsys.errors import Invalid
    from serving.mail_blocks.address import MAIL_PLACEMENTS, block_url, new_block
    from serving.recommender.request import Placement

    if output.mail_block is None:
        return None
    if output.to_csv is None:
        raise Invalid("--mail-block goes into a CSV; give --csv FILE, too")
    if output.mail_block not in MAIL_PLACEMENTS:
        raise Invalid(f"--mail-block {output.mail_block!r}: give one of {', '.join(MAIL_PLACEMENTS)}")
    placement, places = Placement(output.mail_block), output.places

    def address(user: int) -> str:
        return block_url(new_block(user, placement, places))

    address(1)  # what is wrong with the settings or options shows before the segment is made
    return address


def _moment(given: str) -> datetime:
    """Read a moment, in UTC unless it has a zone. Raises Invalid."""
    from recsys.errors import Invalid

    try:
        moment = datetime.fromisoformat(given.strip())
    except ValueError as error:
        raise Invalid(
            f"--as-of {given!r} is no moment; expected one such as 2017-12-31 or 2017-12-31T12:00"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _counted_from(segment: Segment) -> str:
    if segment.as_of is None or not segment.from_old_data:
        return ""
    return f"; days are counted from the newest interaction, {segment.as_of:%Y-%m-%d %H:%M} UTC"


def _show(segment: Segment, members: Sequence[NamedMember]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("user", "product", "name", "category", "chance", "similarity", "at", box=None)
    for member in members:
        table.add_row(
            member.username or str(member.user_id),
            member.sku or str(member.product_id or ""),
            member.product or "",
            member.category or str(member.category_id or ""),
            "" if member.chance is None else f"{member.chance:.4f}",
            "" if member.similarity is None else f"{member.similarity:.4f}",
            "" if member.at is None else f"{member.at:%Y-%m-%d %H:%M}",
        )
    console = Console()
    console.print(table)
    by = "" if segment.model is None else f", by {segment.model}"
    console.print(f"{len(members):,} users{by}{_counted_from(segment)}", style="dim", highlight=False)
