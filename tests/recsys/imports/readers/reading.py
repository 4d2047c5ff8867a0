"""A whole file in one call, for the tests of readers."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from recsys.imports.readers.source import ReadOptions, open_source

Rows = list[tuple[object, ...]]


def read(
    path: Path, wanted: tuple[str, ...], size: int | None = None, options: ReadOptions | None = None
) -> tuple[Rows, Rows]:
    """The rows (line and the wanted columns) and the refused records."""
    with open_source(path, wanted, options=options) as source:
        batches = list(source.batches(size))
    rows = pl.concat([batch.rows for batch in batches]).select("line", *wanted).rows()
    return rows, pl.concat([batch.refused for batch in batches]).rows()
