"""`recsys export`: data of the shop as files."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from recsys.exports.lists import Format, Question

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Write data of the shop to files, with the shop's own ids.")


@app.callback()
def export() -> None:
    """Write data of the shop to files, with the shop's own ids."""


@app.command(epilog="Example: recsys export lists --format parquet --output lists.parquet --json")
def lists(
    form: Annotated[str, typer.Option("--format", help="csv, jsonl or parquet.")] = "csv",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File; it is replaced. Default: standard output.", dir_okay=False
        ),
    ] = None,
    question: Annotated[
        str, typer.Option(help="any: the best products; new: the best that the user has not seen; both.")
    ] = "any",
    top: Annotated[int, typer.Option(min=1, max=1000, help="So many products of each list at most.")] = 20,
    user: Annotated[
        list[str] | None,
        typer.Option(help="Only this user, as username:NAME or by number; may be repeated. Default: all."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a summary as JSON: to stdout beside a file, else to stderr.")
    ] = False,
) -> None:
    """Write the stored list of every user: username, sku, question, rank, score, reason, and both numbers.

    Products that are hidden since the lists were made are left out.
    """
    from recsys.exports.lists import export_lists
    from recsys.own_ids.commands import numbers_of
    from recsys.own_ids.scheme import IdKind

    _check(form, ("csv", "jsonl", "parquet"), "--format")
    _check(question, ("any", "new", "both"), "--question")
    report = export_lists(
        output,
        sys.stdout.buffer,
        form=cast("Format", form),
        question=cast("Question", question),
        top=top,
        users=None if user is None else numbers_of(IdKind.USER, user),
    )
    sys.stdout.flush()
    summary = (
        json.dumps(asdict(report))
        if as_json
        else f"{report.rows:,} recommendations for {report.users:,} users"
        + ("." if report.file is None else f" in {report.file}.")
    )
    typer.echo(summary, err=not (as_json and output is not None))


def _check(given: str, known: tuple[str, ...], option: str) -> None:
    if given not in known:
        raise typer.BadParameter(f"{given!r} is not one of {', '.join(known)}.", param_hint=option)
