"""One user's lists as bytes, one for each question: what Redis holds, 11 bytes a product."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
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
    "encode",
    "entries_arrays",
    "entries_of_records",
    "pack",
    "pack_entries",
    "relabelled",
    "select",
    "strictly_decreasing",
    "unpack",
    "unpack_entries",
    "without_ties",
]

FORMAT = 3
SCORE_UNIT = 10_000
"""Scores are kept in ten-thousandths, as `product_recommendations.score` is."""

# format and CRC-32 of all that follows; then the products of both lists, the generation, when they were made,
# and the lengths of the model's name and of its version; then both texts and both lists
_CHECK = struct.Struct("<BI")
_HEADER = struct.Struct("<HHIIBB")
_NAMES = _CHECK.size + _HEADER.size
# product, evidence (0: none), score, and a byte: bits 0-1 kind, 2 bought, 3-6 reason, 7 new to the user
_RECORD = struct.Struct("<IIHB")
_RECORD_ARRAY = np.dtype([("product", "<u4"), ("evidence", "<u4"), ("score", "<u2"), ("codes", "u1")])
_RECORD_BYTES = np.dtype(f"V{_RECORD.size}")

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Entry(NamedTuple):
    """One product of a list.

    Attributes
    ----------
    score
        In ten-thousandths, 0..10000.
    evidence
        A product id, -1 for none.
    novel, bought
        Of the user's past when the list was made.
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
    """A user's lists with where they came from; all entries are of one generation and one model.

    Each list is in its own order, best first: scores of different questions cannot be compared.

    Attributes
    ----------
    entries
        The answer to the question "any": every product that the user may be shown.
    made_at
        Seconds since 1970: when what the user did was read for them.
    new
        The answer to the question "new": only products that the user never touched.
    """

    generation: int
    model: str
    version: str
    entries: Sequence[Entry]
    made_at: int = 0
    new: Sequence[Entry] = ()


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
    """The bytes of both lists. Raises ValueError for what the format cannot hold."""
    model, version = stored.model.encode(), stored.version.encode()
    try:
        head = _HEADER.pack(
            len(stored.entries),
            len(stored.new),
            stored.generation,
            stored.made_at,
            len(model),
            len(version),
        )
    except struct.error as error:
        raise ValueError(f"the list does not fit its format: {error}") from error
    body = b"".join([head, model, version, pack_entries(stored.entries), pack_entries(stored.new)])
    return _CHECK.pack(FORMAT, zlib.crc32(body)) + body


def unpack(data: bytes) -> StoredList:
    """Take back what `pack` gave. Raises Invalid for bytes of another format, cut short or damaged."""
    generation, made_at, version_at, start, middle = _parts(data)
    model, version = data[_NAMES:version_at].decode(), data[version_at:start].decode()
    return StoredList(
        generation, model, version, _Packed(data[start:middle]), made_at, _Packed(data[middle:])
    )


def relabelled(data: bytes, generation: int) -> bytes:
    """The same packed lists as those of another generation. Raises Invalid as `unpack` does."""
    _parts(data)
    first, second, _, *rest = _HEADER.unpack_from(data, _CHECK.size)
    body = _HEADER.pack(first, second, generation, *rest) + data[_NAMES:]
    return _CHECK.pack(FORMAT, zlib.crc32(body)) + body


def entries_arrays(data: bytes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The entries of both packed lists (any, new) as they lie there.

    Returns
    -------
    any, new : structured array, shape (entries,)
        Fields `product` (uint32), `evidence` (uint32, 0: none), `score` (uint16), `codes` (uint8).

    Raises
    ------
    Invalid
        As in `unpack`.
    """
    *_, start, middle = _parts(data)
    entries = np.frombuffer(data, dtype=_RECORD_ARRAY, offset=start)
    first = (middle - start) // _RECORD.size
    return entries[:first], entries[first:]


def _parts(data: bytes) -> tuple[int, int, int, int, int]:
    """The generation, when it was made, where the version begins, the first list and the second."""
    if len(data) < _NAMES or data[0] != FORMAT:
        raise Invalid(f"a stored list of another format than {FORMAT}; run `recsys serve score`")
    if _CHECK.unpack_from(data)[1] != zlib.crc32(memoryview(data)[_CHECK.size :]):
        raise Invalid("a stored list is damaged; run `recsys serve score`")
    first, second, generation, made_at, model_size, version_size = _HEADER.unpack_from(data, _CHECK.size)
    version_at = _NAMES + model_size
    start = version_at + version_size
    middle = start + first * _RECORD.size
    if len(data) != middle + second * _RECORD.size:
        raise Invalid("a stored list is cut short; run `recsys serve score`")
    return generation, made_at, version_at, start, middle


def strictly_decreasing(units: npt.ArrayLike) -> Integers:
    """Scores of lists, best first along the last axis, in units: without ties, in the order they have.

    Each is at most the one before it less one unit, and the i-th of n at least n - i units. A score that
    already keeps to that stays as it is.

    Parameters
    ----------
    units : integers, shape (..., n)
        The scores, in units.

    Returns
    -------
    int64, shape (..., n)
        The scores without ties.

    Raises
    ------
    ValueError
        A list has more entries than units.
    """
    given = np.asarray(units, dtype=np.int64)
    size = given.shape[-1]
    if size > SCORE_UNIT:
        raise ValueError(f"a list of {size} products has no {SCORE_UNIT} different scores")
    places = np.arange(size)
    lowered = np.minimum.accumulate(given + places, axis=-1) - places
    found: Integers = np.maximum(lowered, size - 1 - places)
    return found


def without_ties(entries: Sequence[Entry]) -> list[Entry]:
    """The same list, best first, with the scores of `strictly_decreasing`."""
    scores = strictly_decreasing([one.score for one in entries])
    return [one._replace(score=score) for one, score in zip(entries, scores.tolist(), strict=True)]


def encode(
    products: Integers, scores: Integers, kinds: Integers, reasons: Integers, evidence: Integers, novel: Mask,
    bought: Mask,
) -> npt.NDArray[Any]:  # fmt: skip
    """Columns of entries as the records that a packed list is made of; all of one shape.

    Parameters
    ----------
    products : int64
        Ids of products.
    scores : int64
        In ten-thousandths, 0..10000.
    kinds, reasons : int64
        The codes of `Kind` and `ReasonCode`.
    evidence : int64
        Ids of products, -1 for none.
    novel, bought : bool
        Of the user's past.
    """
    records = np.empty(products.shape, dtype=_RECORD_ARRAY)
    records["product"], records["evidence"] = products, np.maximum(evidence, 0)
    records["score"] = scores
    records["codes"] = kinds | bought.astype(np.int64) << 2 | reasons << 3 | novel.astype(np.int64) << 7
    return records


def entries_of_records(records: npt.NDArray[Any]) -> Sequence[Entry]:
    """One list of what `encode` gave, decoded when it is looked at."""
    return _Packed(records.tobytes())


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
        raise Invalid("a list has an unknown reason code")
    return _Packed(records)


def select(entries: Sequence[Entry], choose: Callable[[npt.NDArray[np.uint32]], Mask]) -> Sequence[Entry]:
    """The entries whose products are chosen, in their order; a packed list is not decoded for that.

    Parameters
    ----------
    choose
        Gets product ids, uint32, shape (n,), and returns which to keep, bool, shape (n,).
    """
    if isinstance(entries, _Packed):
        kept = choose(np.frombuffer(entries.records, dtype=_RECORD_ARRAY)["product"])
        # whole records without their fields: numpy takes these much faster
        return _Packed(np.frombuffer(entries.records, dtype=_RECORD_BYTES)[kept].tobytes())
    kept = choose(np.array([entry.product for entry in entries], dtype=np.uint32))
    return [entry for entry, keeps in zip(entries, kept.tolist(), strict=True) if keeps]


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
