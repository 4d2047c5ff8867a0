"""One user's list as bytes: what Redis holds, 11 bytes a product."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.errors import Invalid

__all__ = [
    "FORMAT",
    "Entry",
    "StoredList",
    "entries_array",
    "pack",
    "pack_entries",
    "unpack",
    "unpack_entries",
]

FORMAT = 2
SCORE_UNIT = 10_000
"""Scores are kept in ten-thousandths, as `product_recommendations.score` is."""

# format, products, generation, when it was made, length of the model's name and of its version; then both
_HEADER = struct.Struct("<BHIIBB")
# product, evidence (0: none), score, and a byte: bits 0-1 kind, 2 bought, 3-6 reason, 7 new to the user
_RECORD = struct.Struct("<IIHB")
_RECORD_ARRAY = np.dtype([("product", "<u4"), ("evidence", "<u4"), ("score", "<u2"), ("codes", "u1")])


class Entry(NamedTuple):
    """One product of a list. `score` in ten-thousandths, 0..10000; `evidence` a product id, -1 for none.

    `novel` and `bought` speak of the user's past when the list was made.
    """

    product: int
    score: int
    kind: Kind
    reason: ReasonCode
    evidence: int
    novel: bool
    bought: bool = False


@dataclass(frozen=True)
class StoredList:
    """A list with where it came from; all entries are of one generation and one model.

    made_at : seconds since 1970: when what the user did was read for it.
    """

    generation: int
    model: str
    version: str
    entries: Sequence[Entry]
    made_at: int = 0


_KINDS = tuple(Kind)
_REASONS = tuple(ReasonCode)
_CODES = {
    kind | bought << 2 | reason << 3 | novel << 7: (kind, reason, novel, bought)
    for kind in _KINDS
    for reason in _REASONS
    for bought in (False, True)
    for novel in (False, True)
}


def pack(stored: StoredList) -> bytes:
    """The bytes of a list. Raises ValueError for what the format cannot hold."""
    model, version = stored.model.encode(), stored.version.encode()
    try:
        head = _HEADER.pack(
            FORMAT, len(stored.entries), stored.generation, stored.made_at, len(model), len(version)
        )
    except struct.error as error:
        raise ValueError(f"the list does not fit its format: {error}") from error
    return b"".join([head, model, version, pack_entries(stored.entries)])


def unpack(data: bytes) -> StoredList:
    """Take back what `pack` gave. Raises Invalid for bytes of another format, or cut short."""
    generation, made_at, names, start = _parts(data)
    model, version = data[_HEADER.size : names].decode(), data[names:start].decode()
    return StoredList(generation, model, version, _Packed(data[start:]), made_at)


def entries_array(data: bytes) -> npt.NDArray[Any]:
    """The entries of a packed list as they lie in it: `product`, `evidence` (0: none), `score`, `codes`.

    Raises Invalid as `unpack` does.
    """
    return np.frombuffer(data, dtype=_RECORD_ARRAY, offset=_parts(data)[3])


def _parts(data: bytes) -> tuple[int, int, int, int]:
    """The generation, when it was made, where the version begins and where the entries do."""
    if len(data) < _HEADER.size or data[0] != FORMAT:
        raise Invalid(f"a stored list of another format than {FORMAT}; run `recsys serve score`")
    _, count, generation, made_at, model_size, version_size = _HEADER.unpack_from(data)
    names = _HEADER.size + model_size
    start = names + version_size
    if len(data) != start + count * _RECORD.size:
        raise Invalid("a stored list is cut short; run `recsys serve score`")
    return generation, made_at, names, start


def pack_entries(entries: Sequence[Entry]) -> bytes:
    """The bytes of entries alone. Raises ValueError for what the format cannot hold."""
    if isinstance(entries, _Packed):
        return entries.records
    try:
        return b"".join(
            [
                _RECORD.pack(
                    one.product,
                    max(0, one.evidence),
                    one.score,
                    one.kind | one.bought << 2 | one.reason << 3 | one.novel << 7,
                )
                for one in entries
            ]
        )
    except struct.error as error:
        raise ValueError(f"the list does not fit its format: {error}") from error


def unpack_entries(records: bytes) -> Sequence[Entry]:
    """Take back what `pack_entries` gave. Raises Invalid for bytes that it cannot have given."""
    if len(records) % _RECORD.size:
        raise Invalid("a list is cut short")
    entries = np.frombuffer(records, dtype=_RECORD_ARRAY)
    if entries.size and int((entries["codes"] >> 3 & 15).max()) >= len(_REASONS):
        raise Invalid("a list holds a reason that is none")
    return _Packed(records)


class _Packed(Sequence[Entry]):
    """Entries that are decoded when they are looked at: an answer seldom needs the whole list."""

    def __init__(self, records: bytes) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records) // _RECORD.size

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Entry]: ...
    def __getitem__(self, place: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step == 1:  # nothing is decoded: the rest of a list travels as it is
                return _Packed(self.records[start * _RECORD.size : stop * _RECORD.size])
        return list(self)[place]

    def __iter__(self) -> Iterator[Entry]:
        return _entries(self.records)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def _entries(records: bytes) -> Iterator[Entry]:
    new: Any = tuple.__new__  # half the time of `Entry(...)`, and every stored list is decoded by it
    for product, evidence, score, codes in _RECORD.iter_unpack(records):
        kind, reason, novel, bought = _CODES[codes]
        yield new(Entry, (product, score, kind, reason, evidence or -1, novel, bought))
