"""What an examination of one part found, and helpers to put it into words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from recsys import clock

__all__ = ["Finding", "State", "ago", "in_words"]

State = Literal["ok", "attention", "broken"]


@dataclass(frozen=True)
class Finding:
    """The state of one part; `remedy` is None when it is ok."""

    part: str
    state: State
    found: str
    remedy: str | None = None


def ago(moment: datetime | None) -> str:
    """The age of a moment, such as "5 min ago"."""
    if moment is None:
        return "at an unknown time"
    return f"{in_words((clock.now() - moment).total_seconds())} ago"


def in_words(seconds: float) -> str:
    """A duration in its largest fitting unit, such as "5 min"."""
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
