"""A dry run: what an import understands, the first rows as they would be stored, and what it would refuse."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys import clock
from recsys.imports.embeddings import COLUMN, brief
from recsys.imports.files import open_sources, parsed_batches
from recsys.imports.readers.doubtful_ids import doubt_notes, doubtful_ids
from recsys.imports.readers.mapping import ColumnMapping
from recsys.imports.readers.rows import FileKind
from recsys.imports.readers.source import ReadOptions
from recsys.imports.readers.source_file import SourceFile

__all__ = ["preview_files", "show_preview"]

SHOWN_ROWS = 5
_HIDDEN = {"line", "event_id", "preferences"}


def preview_files(
    users: Sequence[Path],
    products: Sequence[Path],
    interactions: Sequence[Path],
    options: ReadOptions,
    mappings: Mapping[str, ColumnMapping],
    stated: Sequence[str],
) -> list[dict[str, Any]]:
    """For each file: `file`, `kind`, `encoding`, `fields`, `unused`, `rows`, `first`, `refused`, `notes`.

    Nothing is written, and no database is asked: whether users and products exist shows in the import.
    """
    with ExitStack() as stack:
        sources = open_sources(stack, users, products, interactions, options, mappings, stated)
        return [_preview(kind, source) for kind, source in sources]


def _preview(kind: FileKind, source: SourceFile) -> dict[str, Any]:
    accepted = 0
    first: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    examples: list[dict[str, Any]] = []
    for batch in parsed_batches(source, kind, clock.now()):
        accepted += batch.rows.height
        shown = batch.rows.head(SHOWN_ROWS - len(first))
        if COLUMN in shown.columns:
            shown = shown.with_columns(brief(COLUMN))
        first += shown.select(pl.exclude(*_HIDDEN)).to_dicts()
        for refused in (batch.unread, batch.refused):
            reasons.update(refused["reason"].to_list())
            more = refused.head(SHOWN_ROWS - len(examples))
            examples += (more if "raw" in more.columns else source.with_raw(more)).to_dicts()
    return {
        "file": source.name,
        "kind": kind.name,
        "encoding": source.text.encoding if source.text else None,
        "fields": list(source.fields),
        "unused": list(source.unknown),
        "rows": accepted,
        "first": first,
        "refused": {"total": sum(reasons.values()), "by_reason": dict(reasons), "first": examples},
        "notes": [*source.notes, *doubt_notes(source.name, doubtful_ids(source, kind.ids))],
    }


def show_preview(previews: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print the previews for a person, or as JSON."""
    console = Console(highlight=False)
    if as_json:
        console.print(Text(json.dumps(previews, indent=2, default=str)), soft_wrap=True)
        return
    for preview in previews:
        lines = [
            f"{preview['file']}: {preview['kind']}, {preview['rows']:,} rows would be stored",
            f"encoding: {preview['encoding'] or 'parquet'}",
            f"fields: {', '.join(preview['fields'])}",
            f"columns that are not used: {', '.join(preview['unused']) or 'none'}",
        ]
        for line in lines:
            console.print(Text(line), soft_wrap=True)
        _show_rows(console, "first rows", preview["first"])
        refused = preview["refused"]
        for reason, number in sorted(refused["by_reason"].items(), key=lambda item: (-item[1], item[0])):
            console.print(Text(f"would be refused: {number:,} rows: {reason}"), soft_wrap=True)
        for example in refused["first"]:
            console.print(Text(f"  line {example['line']}: {example['raw']}"), soft_wrap=True)
        for note in preview["notes"]:
            console.print(Text(f"note: {note}"), soft_wrap=True)
    console.print("Nothing was stored (--dry-run).")


def _show_rows(console: Console, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    columns = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if row[name] is None else str(row[name])) for name in columns))
    console.print(table)
