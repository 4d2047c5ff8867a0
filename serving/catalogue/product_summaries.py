"""Names and summaries of products, packed: Python objects are made only for products in responses.

100,000 names as strings, with a dictionary, take 30 MB, and a forked process copies every page whose
reference counts it changes. Packed they take 5 MB, which forked processes share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt
import orjson

__all__ = [
    "CACHE_SIZE",
    "NO_DETAILS",
    "LabelsById",
    "Names",
    "NamesById",
    "ProductDetails",
    "ProductSummaries",
    "ProductSummary",
]

CACHE_SIZE = 20_000
"""Cached objects of a kind, about 12 MB; a full cache is emptied. A plain dict is fastest on this path."""
V = TypeVar("V")


class ProductDetails(NamedTuple):
    """What items say of a product when `fields` asks for it; prices are in the shop's currency."""

    sku: str | None = None
    slug: str | None = None
    compare_price: float | None = None
    image: str | None = None
    brand: str | None = None
    category: str | None = None
    url: str | None = None


NO_DETAILS = "[]"


class ProductSummary(NamedTuple):
    """What a response contains of a product on sale. `price` is in the shop's currency."""

    name: str
    price: float
    repeats: bool
    stocked: bool = True
    details: ProductDetails = ProductDetails()


class Names(Sequence[str]):
    """Immutable strings, concatenated in UTF-8."""

    __slots__ = ("_start", "_text")

    def __init__(self, text: bytes, start: npt.NDArray[np.int64]) -> None:
        self._text, self._start = text, start

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Pack the strings of an iterator."""
        text, lengths = bytearray(), [0]
        for name in names:
            encoded = name.encode()
            text += encoded
            lengths.append(len(encoded))
        return cls(bytes(text), np.cumsum(lengths, dtype=np.int64))

    def __len__(self) -> int:
        return self._start.size - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self._text[self._start[row] : self._start[row + 1]].decode()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Names)
            and self._text == other._text
            and np.array_equal(self._start, other._start)
        )

    __hash__ = None  # type: ignore[assignment]

    def with_room(self, before: npt.NDArray[np.int64]) -> Names:
        """Return the names with an empty string inserted before each of these rows."""
        return Names(self._text, np.insert(self._start, before, self._start[before]))

    def replaced(self, changes: Mapping[int, str]) -> Names:
        """Return the names with other strings in these rows."""
        changed = {row: name for row, name in changes.items() if self[row] != name}
        if not changed:
            return self
        lengths, pieces, last = np.diff(self._start), [], 0
        for row in sorted(changed):
            encoded = changed[row].encode()
            lengths[row] = len(encoded)
            pieces += [self._text[last : self._start[row]], encoded]
            last = int(self._start[row + 1])
        pieces.append(self._text[last:])
        return Names(b"".join(pieces), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


class _LookupCache(dict[int, V | None]):
    """A cache whose hits cost no more than in a plain dictionary."""

    def __missing__(self, product: int) -> V | None:
        if len(self) >= CACHE_SIZE:
            self.clear()
        value = self[product] = self._look_up(product)
        return value

    # subscripts call `__missing__`, the `get` of dict does not
    get: Any = dict.__getitem__

    def take_over(self, previous: _LookupCache[V], changed: Collection[int]) -> None:
        """Copy the entries of a previous cache, except those of changed products."""
        self.update((product, value) for product, value in list(previous.items()) if product not in changed)

    def _look_up(self, product: int) -> V | None:
        raise NotImplementedError


class NamesById(_LookupCache[str]):
    """The name of a product by id, on sale or not; None for an unknown id."""

    __slots__ = ("_ids", "_names")

    def __init__(self, ids: npt.NDArray[np.int64], names: Names) -> None:
        super().__init__()
        self._ids, self._names = ids, names

    def _look_up(self, product: int) -> str | None:
        row = _row(self._ids, product)
        return None if row < 0 else self._names[row]


class LabelsById(_LookupCache[tuple[str, str | None]]):
    """The name and SKU of a product by id, on sale or not; None for an unknown id."""

    __slots__ = ("_details", "_ids", "_names")

    def __init__(self, ids: npt.NDArray[np.int64], names: Names, details: Names) -> None:
        super().__init__()
        self._ids, self._names, self._details = ids, names, details

    def _look_up(self, product: int) -> tuple[str, str | None] | None:
        row = _row(self._ids, product)
        return None if row < 0 else (self._names[row], _details(self._details[row]).sku)


class ProductSummaries(_LookupCache[ProductSummary]):
    """The summary of a product by id, the same object while it is cached; None where it is not on sale.

    It refers to columns and not to their catalogue: a reference cycle would delay freeing both.
    """

    __slots__ = ("_details", "_ids", "_names", "_price", "_repeats", "_shown", "_stocked")

    def __init__(
        self,
        ids: npt.NDArray[np.int64],
        names: NamesById,
        price: npt.NDArray[np.float64],
        repeats: npt.NDArray[np.bool_],
        shown: npt.NDArray[np.bool_],
        stocked: npt.NDArray[np.bool_],
        details: Names,
    ) -> None:
        super().__init__()
        self._stocked, self._details = stocked, details
        self._ids, self._names, self._price, self._repeats, self._shown = ids, names, price, repeats, shown

    def _look_up(self, product: int) -> ProductSummary | None:
        row = _row(self._ids, product)
        if row < 0 or not self._shown[row]:
            return None
        name = self._names[product]
        assert name is not None
        return ProductSummary(
            name,
            float(self._price[row]),
            bool(self._repeats[row]),
            bool(self._stocked[row]),
            _details(self._details[row]),
        )


def _details(json: str) -> ProductDetails:
    return ProductDetails(*orjson.loads(json))


def _row(ids: npt.NDArray[np.int64], product: int) -> int:
    row = int(np.searchsorted(ids, product))
    return row if row < ids.size and int(ids[row]) == product else -1
