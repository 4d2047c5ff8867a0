"""What an import did: counts per table, refused rows by reason, speed and memory."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.imports.refusals import Refusals

__all__ = ["ImportReport", "TableCounts", "peak_memory_mib"]


@dataclass
class TableCounts:
    """How many rows of one kind were read, and what became of them."""

    read: int = 0
    added: int = 0
    updated: int = 0
    already_there: int = 0
    refused: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; `rows_per_second` counts the rows read."""
        return {
            "read": self.read,
            "added": self.added,
            "updated": self.updated,
            "already_there": self.already_there,
            "refused": self.refused,
            "seconds": round(self.seconds, 3),
            "rows_per_second": self.rows_per_second,
        }

    @property
    def rows_per_second(self) -> int:
        """Rows read per second; 0 without a duration."""
        return round(self.read / self.seconds) if self.seconds > 0 else 0


@dataclass
class ImportReport:
    """The summary of one import."""

    refusals: Refusals
    tables: dict[str, TableCounts] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    doubtful_ids: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    seconds: float = 0.0

    def table(self, name: str) -> TableCounts:
        """The counts of a table, created at first use."""
        return self.tables.setdefault(name, TableCounts())

    @property
    def nothing_taken(self) -> bool:
        """Rows were refused, and not one was stored or there already."""
        taken = sum(counts.added + counts.updated + counts.already_there for counts in self.tables.values())
        return self.refusals.total > 0 and taken == 0

    def hint_at_search(self) -> None:
        """Say that search does not know yet what was written: imports write past the events that keep it."""
        if any(counts.added or counts.updated for counts in self.tables.values()):
            self.notes.append("search does not know of this yet: run `recsys search reindex`")

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "tables": {name: counts.as_json() for name, counts in self.tables.items()},
            "refused": {
                "total": self.refusals.total,
                "by_reason": self.refusals.counts,
                "file": str(self.refusals.path) if self.refusals.total else None,
            },
            "doubtful_ids": self.doubtful_ids,
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
            "peak_memory_mib": round(peak_memory_mib(), 1),
        }


def peak_memory_mib() -> float:
    """The largest resident size of this process so far, in MiB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / (1 << 20)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10)
