"""Columns of events in files, and their order: memory holds a block of them, whatever their number."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from features.blocks import blocks
from features.ids import distinct
from features.interactions import canonical_order

__all__ = ["EventFiles", "distinct_of_blocks", "in_order", "only"]

Columns = Mapping[str, npt.NDArray[Any]]
SORTED_AT_ONCE = 1 << 19
"""About so many events are put in order at once, unless more are of one moment."""
_SAMPLE = 1 << 16
_MOST_PARTS = 1 << 16


class EventFiles:
    """Columns that grow at their end, each in a file without a name, which goes with its last user."""

    def __init__(self, folder: Path | None) -> None:
        """Begin without columns.

        Parameters
        ----------
        folder
            Of which file system the space is taken; None: where temporary files lie.
        """
        self._folder = folder
        self._files: dict[str, tuple[IO[bytes], np.dtype[Any]]] = {}

    def add(self, columns: Columns) -> None:
        """Append these columns, whose names and types are the same each time."""
        for name, values in columns.items():
            if name not in self._files:
                # `columns` closes it, when the mapping holds it
                file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
                self._files[name] = file, values.dtype
            self._files[name][0].write(np.ascontiguousarray(values).data)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns, mapped from the files; they may be written to. Nothing can be added then."""
        found = {}
        for name, (file, dtype) in self._files.items():
            with file:
                file.flush()
                found[name] = (
                    np.frombuffer(mmap.mmap(file.fileno(), 0), dtype=dtype)
                    if file.tell()
                    else np.empty(0, dtype)
                )
        return found


def distinct_of_blocks(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return each integer once, ascending."""
    found = [distinct(values[part]) for part in blocks(values.size)]
    return distinct(np.concatenate(found)) if found else values[:0]


def only(columns: Columns, kept: npt.NDArray[np.bool_], folder: Path | None) -> dict[str, npt.NDArray[Any]]:
    """Return the events of a mask, bool (n,)."""
    if not kept.size:
        return dict(columns)
    files = EventFiles(folder)
    for part in blocks(kept.size):
        files.add({name: column[part][kept[part]] for name, column in columns.items()})
    return files.columns()


def in_order(columns: Columns, folder: Path | None) -> dict[str, npt.NDArray[Any]]:
    """Return the same events in `canonical_order`.

    They are divided by time, so that the order of each part is found alone.
    """
    time = columns["time"]
    if not time.size:
        return dict(columns)
    inner, numbers, files = _inner_edges(time), EventFiles(folder), EventFiles(folder)
    for part in blocks(time.size):
        numbers.add({"number": np.searchsorted(inner, time[part], side="right").astype(np.uint16)})
    number_of = numbers.columns()["number"]
    for number in range(inner.size + 1):
        found = [np.flatnonzero(number_of[part] == number) + part.start for part in blocks(time.size)]
        rows = np.concatenate(found)
        some = {name: column[rows] for name, column in columns.items()}
        order = canonical_order(some)
        files.add(some if order is None else {name: column[order] for name, column in some.items()})
    return files.columns()


def _inner_edges(time: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the moments at which parts of about `SORTED_AT_ONCE` events begin, but for the first part."""
    parts = min(_MOST_PARTS, max(1, time.size // SORTED_AT_ONCE))
    sample = np.sort(time[:: max(1, time.size // _SAMPLE)])
    return np.unique(sample[np.arange(1, parts) * sample.size // parts])
