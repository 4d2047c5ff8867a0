"""What a person sees after an import."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from recsys.imports.refusals import Refusals
from recsys.imports.report import ImportReport, TableCounts
from recsys.imports.summary import show


def test_millions_of_rows_fit_a_terminal_of_80_columns(tmp_path: Path) -> None:
    many = TableCounts(*[9_876_543] * 5, seconds=1.0)
    report = ImportReport(
        Refusals(tmp_path / "refused.csv"), {"user_interactions": many, "brands": TableCounts(3)}
    )
    written = io.StringIO()
    show(report, Console(file=written, width=80))
    lines = written.getvalue().splitlines()
    assert lines[2].split() == ["user_interactions", *["9,876,543"] * 6]
    assert lines[3].split() == ["brands", "3", *["-"] * 5]
