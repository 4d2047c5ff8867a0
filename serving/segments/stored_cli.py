"""`recsys segments stored`: segments under a name, which business rules can be for."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recsys.processes.user import command_user

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Segments under a name, for business rules (docs/rules.md).")
Name = Annotated[str, typer.Argument(help="Name of the segment, such as coffee-buyers.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]


@app.command("list", epilog="Example: recsys segments stored list --json")
def list_(as_json: AsJson = False) -> None:
    """List stored segments with their members, age and rules."""
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.segments import service as segments
    from serving.segments.stored import described

    with unit_of_work() as session:
        found = segments.listed(session)
        words = [described(session, each.definition) for each in found]
    if as_json:
        plain = [asdict(each) for each in found]
        typer.echo(json.dumps(plain, indent=2, default=lambda moment: moment.isoformat()))
        return
    for each, what in zip(found, words, strict=True):
        when = "never" if each.refreshed_at is None else f"{each.refreshed_at:%Y-%m-%d %H:%M} UTC"
        rules = f", rules: {', '.join(each.rules)}" if each.rules else ""
        problem = f", last refresh failed: {each.problem}" if each.problem else ""
        members = f"{each.members:,} members of {when}"
        typer.echo(f"{each.name}: {what}; {members}{rules}{problem}")
    if not found:
        typer.echo(
            "No segment is stored. Store one: recsys segments stored put NAME buyers --category slug:tea"
        )


@app.command(epilog="Example: recsys segments stored put coffee-buyers buyers --category slug:coffee")
def put(
    name: Name,
    kind: Annotated[
        str, typer.Argument(help="A kind of `recsys segments`, such as buyers; or given, for users you name.")
    ],
    product: Annotated[list[str] | None, typer.Option(help="buyers: a product; may be repeated.")] = None,
    category: Annotated[str | None, typer.Option(help="buyers: a category and all below it.")] = None,
    brand: Annotated[str | None, typer.Option(help="buyers: a brand.")] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(help="look-alikes: like this user; given: this user. Number or username:…."),
    ] = None,
    users_file: Annotated[
        Path | None, typer.Option(help="given: a file with one user a line; - for standard input.")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="buyers: who never looked at the product.")] = False,
    days: Annotated[float, typer.Option(help="Due, or changed, within so many days.")] = 7.0,
    looked_days: Annotated[float, typer.Option(help="The user looked at it in so many days.")] = 60.0,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Users at most.")] = 10_000,
) -> None:
    """Store a segment, or replace the one of this name, and find its members."""
    from pydantic import TypeAdapter, ValidationError

    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.rules.schemas import SegmentName
    from recsys.errors import Invalid
    from recsys.own_ids.commands import number_of, numbers_of
    from recsys.own_ids.scheme import IdKind
    from recsys.processes.priority import give_way
    from serving.segments.members import SegmentKind
    from serving.segments.service import SegmentRequest
    from serving.segments.stored import GIVEN, store_given, store_request

    try:
        TypeAdapter(SegmentName).validate_python(name)
    except ValidationError as error:
        raise Invalid(
            f"{name!r}: expected 1 to 50 of a-z, 0-9, dash and underscore, such as tea-buyers"
        ) from error
    kinds = [each.value for each in SegmentKind]
    if kind not in (*kinds, GIVEN):
        raise Invalid(f"{kind!r}: give one of {', '.join((*kinds, GIVEN))}")
    if users_file is not None and kind != GIVEN:
        raise Invalid(f"--users-file is for the kind {GIVEN}")
    numbers = numbers_of(IdKind.USER, [*(user or ()), *_lines(users_file)])
    if kind == GIVEN and not numbers:
        raise Invalid("name the users: --user username:anna, or --users-file FILE")
    give_way()
    with unit_of_work() as session:
        if kind == GIVEN:
            count = store_given(session, name, numbers, actor=command_user())
        else:
            request = SegmentRequest(
                SegmentKind(kind),
                product_ids=tuple(numbers_of(IdKind.PRODUCT, product or ())),
                category_id=None if category is None else number_of(IdKind.CATEGORY, category),
                brand_id=None if brand is None else number_of(IdKind.BRAND, brand),
                user_ids=tuple(numbers),
                new=new,
                days=days,
                looked_days=looked_days,
                limit=limit,
            )
            count = store_request(session, name, request, actor=command_user())
    typer.echo(f"{name}: {count:,} members. The job `segments` finds them again.")


@app.command(epilog="Example: recsys segments stored refresh")
def refresh(name: Annotated[str | None, typer.Argument(help="Only this segment.")] = None) -> None:
    """Find the members of stored segments again. Exit 1 where one could not be made."""
    from recsys.database.session import unit_of_work
    from recsys.processes.priority import give_way
    from serving.segments.stored import refresh_all, refreshed

    give_way()
    if name is not None:
        with unit_of_work() as session:
            found: dict[str, int | str] = {name: refreshed(session, name)}
    else:
        found = refresh_all()
    for segment, count in found.items():
        typer.echo(f"{segment}: {count:,} members" if isinstance(count, int) else f"{segment}: {count}")
    if not found:
        typer.echo("No segment is stored.")
    if any(isinstance(count, str) for count in found.values()):
        raise typer.Exit(1)


@app.command(epilog="Example: recsys segments stored delete coffee-buyers")
def delete(name: Name) -> None:
    """Delete a stored segment that no rule names."""
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.segments import service as segments

    with unit_of_work() as session:
        segments.delete(session, name)
    typer.echo(f"Deleted the segment {name}.")


def _lines(path: Path | None) -> list[str]:
    """Read the users of a file. Raises Invalid."""
    from recsys.errors import Invalid

    if path is None:
        return []
    try:
        content = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"--users-file {path} cannot be read: {error}") from error
    return [line.strip() for line in content.splitlines() if line.strip()]
