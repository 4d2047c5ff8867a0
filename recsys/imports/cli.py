"""`recsys import`: real data sets and files of one's own into the shop's tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsys.progress_bar import progress_bar

if TYPE_CHECKING:
    from recsys.imports.report import ImportReport

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Import users, products, orders and interactions.")

Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
RefusedFile = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        help="Where refused rows go, with file, line, reason and the row. "
        "Default: var/imports/<time>-refused.csv. Written only when a row is refused.",
        dir_okay=False,
    ),
]


@app.command("complete-journey")
def complete_journey(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Folder with the parquet files; default: the installed package.", file_okay=False
        ),
    ] = None,
    rejects: RefusedFile = None,
    as_json: Json = False,
) -> None:
    """Import The Complete Journey: a year of grocery baskets of 2,469 households.

    A second import adds nothing. An order line that cannot be stored is written to the rejects file.

    Example: recsys import complete-journey --json
    """
    from recsys.imports.complete_journey.importer import data_folder, import_complete_journey
    from recsys.imports.history import recorded

    folder = data_folder(data)
    refused_file = rejects or _refused_file()
    with progress_bar() as progress:
        report = recorded("complete-journey", lambda: import_complete_journey(folder, refused_file, progress))
    _show(report, as_json)


@app.command("csv")
def csv(
    interactions: Annotated[
        list[Path] | None,
        typer.Option(
            help="Columns user, product, interaction_type, created_at; optionally interaction_value, "
            "session_id, event_id, context (JSON). An empty user is a guest, who needs a session_id."
        ),
    ] = None,
    products: Annotated[
        list[Path] | None,
        typer.Option(
            help="Columns product, name, price; optionally category ('A > B'), brand, tags ('a|b'), "
            "description, created_at, stock, availability, compare_price, status, image, url."
        ),
    ] = None,
    users: Annotated[
        list[Path] | None,
        typer.Option(help="Column user; optionally email, username, full_name, created_at."),
    ] = None,
    create_missing: Annotated[
        bool,
        typer.Option(
            "--create-missing",
            help="Create the unknown users and products of interactions (name = id, price 0).",
        ),
    ] = False,
    separator: Annotated[
        str | None,
        typer.Option(
            help="What is between columns, 'tab' for the tabulator. Default: the one of , ; tab | :: that "
            "splits the header most."
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Of text files, such as cp1252 or shift_jis. Default: detected, UTF-8 first."),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            help="Column names of an export: shopify, woocommerce, magento, google_merchant, "
            "ga4, segment, personalize, movielens, retailrocket, instacart, or a TOML file."
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="THEIRS=OURS: a column of the file and the field that it holds; may be repeated."
        ),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="THEIRS=OURS: a word of the file and the interaction type that it is, or 'ignore'; "
            "'*' stands for every other word; may be repeated.",
        ),
    ] = None,
    decimal: Annotated[
        str | None,
        typer.Option(help="The decimal mark of amounts, . or , ; currency signs are then left out."),
    ] = None,
    date_format: Annotated[
        str | None, typer.Option(help="Of created_at, as for strftime, such as %Y%m%d%H%M.")
    ] = None,
    no_times: Annotated[
        bool,
        typer.Option(
            "--no-times", help="The interactions have no created_at; all are stored as of the import."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Store nothing; show the column mapping, the first rows and the refused rows."
        ),
    ] = False,
    rejects: RefusedFile = None,
    as_json: Json = False,
) -> None:
    """Import files of your own: CSV, TSV, JSON lines or parquet, also compressed, in any combination.

    Each option may be given several times, name a folder or a pattern ('events-*.csv'), or be - for standard
    input. gzip, bzip2, xz, zstd and zip archives of one file are unpacked.

    Any text may be an id. Times are ISO 8601 (UTC without an offset) or Unix time. A second import of the
    same rows adds nothing: events are known by event_id, or by their content and its repetitions in the file.

    Example: recsys import csv --interactions events.csv --products products.csv --users users.csv

    Example with events only: recsys import csv --interactions 'events-*.csv.gz' --create-missing

    Example of an export: recsys import csv --products products_export.csv --mapping shopify --dry-run
    """
    from recsys.imports.files import import_files
    from recsys.imports.history import recorded
    from recsys.imports.preview import preview_files, show_preview
    from recsys.imports.readers.mapping import chosen_mappings, option_pairs
    from recsys.imports.readers.rows import INTERACTIONS, PRODUCTS, USERS
    from recsys.imports.readers.source import ReadOptions

    given = (
        ("users", USERS, users),
        ("products", PRODUCTS, products),
        ("interactions", INTERACTIONS, interactions),
    )
    kinds = {name: (*kind.required, *kind.optional) for name, kind, paths in given if paths}
    mappings = chosen_mappings(kinds, mapping, columns or (), types or (), decimal, date_format)
    stated = list(option_pairs("--map", columns or ()))
    options = ReadOptions(separator=_separator(separator), encoding=encoding, no_times=no_times)
    if dry_run:
        show_preview(
            preview_files(users or (), products or (), interactions or (), options, mappings, stated), as_json
        )
        return
    with progress_bar() as progress:
        report = recorded(
            "csv",
            lambda: import_files(
                users=users or (),
                products=products or (),
                interactions=interactions or (),
                create_missing=create_missing,
                refused_file=rejects or _refused_file(),
                progress=progress,
                options=options,
                mappings=mappings,
                stated=stated,
            ),
        )
    _show(report, as_json)


def _separator(given: str | None) -> str | None:
    """What the option means. Raises Invalid for more than four bytes, which the reader does not take."""
    if given is None:
        return None
    named = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}.get(given.lower(), given)
    if len(named.encode()) not in range(1, 5) or set(named) & set('"\n\r'):
        from recsys.errors import Invalid

        raise Invalid(
            f"--separator {given!r} is not one of , ; | tab :: or up to four characters of your own"
        )
    return named


def _refused_file() -> Path:
    from recsys.clock import now
    from recsys.settings import get_settings

    return get_settings().var / "imports" / f"{now():%Y%m%dT%H%M%S%f}-refused.csv"


def _show(report: ImportReport, as_json: bool) -> None:
    import json

    from rich.console import Console

    report.hint_at_search()
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        from recsys.imports.summary import show

        show(report, Console())
    if report.nothing_taken:
        raise typer.Exit(1)
