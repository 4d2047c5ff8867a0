"""The rows that an import refused: in a file, and counted by reason."""

from __future__ import annotations

from pathlib import Path

import polars as pl

__all__ = ["Refusals"]

MOST_REASONS = 50
"""Reasons counted by themselves for each file: some name a word of the row."""
OTHER_REASONS = "other reasons, see the file of refused rows"


class Refusals:
    """Writes refused rows to a CSV file (made with the first one) and counts them by file and reason.

    Columns: file, line (the header of a CSV file is line 1; of a parquet file it is the row number, from 1),
    column (empty where the row as a whole is at fault), reason, and the row as it was (as JSON for parquet).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: dict[str, dict[str, int]] = {}
        self._begun = False

    @property
    def total(self) -> int:
        """The number of refused rows."""
        return sum(sum(reasons.values()) for reasons in self.counts.values())

    def add(self, file: str, refused: pl.DataFrame) -> int:
        """Write `line`, `column`, `reason`, `raw` of the refused rows; return how many there are."""
        if not refused.height:
            return 0
        by_reason = self.counts.setdefault(file, {})
        for reason, number in refused.group_by("reason").len().sort("reason").iter_rows():
            known = reason in by_reason or len(by_reason) < MOST_REASONS
            key = reason if known else OTHER_REASONS
            by_reason[key] = by_reason.get(key, 0) + number
        if not self._begun:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            # the rows may hold personal data: for the owner's eyes only
            self.path.touch(mode=0o600)
        with self.path.open("ab") as stream:
            refused.select(
                pl.lit(file).alias("file"), "line", "column", "reason", pl.col("raw").alias("row")
            ).write_csv(stream, include_header=not self._begun)
        self._begun = True
        return refused.height
