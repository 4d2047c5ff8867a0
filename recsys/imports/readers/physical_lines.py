"""Physical lines of a text: which of them a row takes, and their text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["PhysicalLines", "line_count", "line_numbers", "record_lines"]

_CHUNK = 8 << 20


class PhysicalLines:
    """Reads lines by number; quickly when the numbers ascend."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open(encoding="utf-8", newline="\n")
        self._next = 1

    def text(self, line: int, count: int = 1) -> str:
        """`count` lines from `line` (counted from 1), joined by LF."""
        if line < self._next:
            self._stream.seek(0)
            self._next = 1
        while self._next < line and self._stream.readline():
            self._next += 1
        lines = [self._stream.readline() for _ in range(count)]
        self._next += count
        return "".join(lines).rstrip("\n")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def line_count(path: Path) -> int:
    """How many lines the file has."""
    with path.open("rb") as stream:
        return sum(data.count(b"\n") for data in iter(lambda: stream.read(_CHUNK), b""))


def line_numbers(path: Path, offsets: Sequence[int]) -> list[int]:
    """The line (from 1) in which each byte offset lies; the offsets ascend."""
    numbers: list[int] = []
    line, position = 1, 0
    with path.open("rb") as stream:
        for offset in offsets:
            while position < offset:
                data = stream.read(min(_CHUNK, offset - position))
                if not data:
                    break
                line += data.count(b"\n")
                position += len(data)
            numbers.append(line)
    return numbers


def record_lines(
    spans: npt.NDArray[np.int64], taken: Sequence[tuple[int, int]], blank: Sequence[int], header: int
) -> tuple[npt.NDArray[np.int64], int]:
    """The first line of each row, and the first line behind all of them.

    Parameters
    ----------
    spans : int64, shape (n,)
        How many lines each row has, in the order of the text.
    taken
        (line, number of lines) of what is no row, ascending.
    blank
        Blank lines, ascending. One inside a row belongs to the row; every other belongs to none.
    header
        The lines before the first row.

    Returns
    -------
    first : int64, shape (n,)
        The first line of each row.
    behind : int
        The first line behind all rows.
    """
    ends = header + np.cumsum(spans)
    starts = ends - spans + 1
    at: list[int] = []
    lengths: list[int] = []
    shift = 0
    gaps = sorted([(line, count) for line, count in taken] + [(line, 0) for line in blank if line > header])
    covered = header
    for line, count in gaps:
        if line <= covered:
            continue
        position = line - shift
        if count == 0:
            row = int(np.searchsorted(starts, position, side="right")) - 1
            if row >= 0 and starts[row] < position <= ends[row]:
                continue
            count = 1
        covered = line + count - 1
        at.append(position)
        lengths.append(count)
        shift += count
    shifts = np.concatenate([[0], np.cumsum(np.array(lengths, dtype=np.int64))])
    lines = starts + shifts[np.searchsorted(np.array(at, dtype=np.int64), starts, side="right")]
    end = int(ends[-1]) + 1 if spans.size else header + 1
    return lines, end + shift
