"""The summary of an import as tables for a person."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.imports.report import ImportReport, peak_memory_mib

__all__ = ["show"]

_NUMBERS = ("read", "added", "updated", "there", "refused", "rows/s")


def show(report: ImportReport, console: Console) -> None:
    """Print counts per table ("there": already there), refused rows by reason, notes, time and memory."""
    # no frame: seven columns, millions of rows, and a terminal of 80 columns
    tables = Table(
        title="Imported (there: was already there)",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    tables.add_column("table", no_wrap=True)
    for name in _NUMBERS:
        tables.add_column(name, justify="right", no_wrap=True)
    for name, counts in report.tables.items():
        numbers = (counts.read, counts.added, counts.updated, counts.already_there, counts.refused)
        tables.add_row(
            name,
            *(f"{number:,}" if number else "-" for number in numbers),
            f"{counts.rows_per_second:,}" if counts.rows_per_second else "-",
        )
    console.print(tables)
    lines = [f"note: {note}" for note in report.notes]
    if report.refusals.total:
        refused = Table(title=f"Refused: {report.refusals.total:,} rows", title_justify="left")
        refused.add_column("file")
        refused.add_column("reason")
        refused.add_column("rows", justify="right")
        for file, reasons in report.refusals.counts.items():
            for reason, number in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
                refused.add_row(Text(file), Text(reason), f"{number:,}")
        console.print(refused)
        lines.insert(0, f"refused rows, with line numbers: {report.refusals.path}")
    lines.append(f"{report.seconds:.1f} s, peak memory {peak_memory_mib():,.0f} MiB")
    for line in lines:
        # never folded, so that a path can be copied
        console.print(Text(line), soft_wrap=True)
