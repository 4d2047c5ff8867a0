"""What answers say of products, packed: Python objects only for those that were asked for.

100,000 names as strings, with a dictionary that finds them, take 30 MB, and every process that counts a
reference to one copies the page it lies on. Packed they take 5, which forked processes share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt

__all__ = ["KEPT", "Names", "NamesById", "ProductSummaries", "ProductSummary"]

KEPT = 20_000
"""So many of a kind are kept once they were asked for, about 6 MB; beyond, all are forgotten."""
V = TypeVar("V")


class ProductSummary(NamedTuple):
    """What an answer says of a product that may be shown. `price` is in the shop's currency."""

    name: str
    price: float
    repeats: bool


class Names(Sequence[str]):
    """Strings, one after the other in UTF-8; never changed."""

    __slots__ = ("_start", "_text")

    def __init__(self, text: bytes, start: npt.NDArray[np.int64]) -> None:
        self._text, self._start = text, start

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Take each once, in order; what gives them need not hold them all."""
        text, lengths = bytearray(), [0]
        for name in names:
            coded = name.encode()
            text += coded
            lengths.append(len(coded))
        return cls(bytes(text), np.cumsum(lengths, dtype=np.int64))

    def __len__(self) -> int:
        return self._start.size - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
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
        """With an empty one before each of these rows."""
        return Names(self._text, np.insert(self._start, before, self._start[before]))

    def replaced(self, changes: Mapping[int, str]) -> Names:
        """With other names in these rows."""
        changed = {row: name for row, name in changes.items() if self[row] != name}
        if not changed:
            return self
        lengths, pieces, last = np.diff(self._start), [], 0
        for row in sorted(changed):
            coded = changed[row].encode()
            lengths[row] = len(coded)
            pieces += [self._text[last : self._start[row]], coded]
            last = int(self._start[row + 1])
        pieces.append(self._text[last:])
        return Names(b"".join(pieces), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


class _Asked(dict[int, V | None]):
    """Remembers what was looked up: a second time costs no more than in a plain dictionary."""

    def __missing__(self, product: int) -> V | None:
        if len(self) >= KEPT:
            self.clear()
        found = self[product] = self._look_up(product)
        return found

    # a look-up by subscript asks `__missing__`, one by dict's own `get` does not
    get: Any = dict.__getitem__

    def take_over(self, former: _Asked[V], changed: Collection[int]) -> None:
        """What a former one was asked, all but what changed."""
        self.update((one, said) for one, said in list(former.items()) if one not in changed)

    def _look_up(self, product: int) -> V | None:
        raise NotImplementedError


class NamesById(_Asked[str]):
    """The name of a product, shown or not; None where there is no such product."""

    __slots__ = ("_ids", "_names")

    def __init__(self, ids: npt.NDArray[np.int64], names: Names) -> None:
        super().__init__()
        self._ids, self._names = ids, names

    def _look_up(self, product: int) -> str | None:
        row = _row(self._ids, product)
        return None if row < 0 else self._names[row]


class ProductSummaries(_Asked[ProductSummary]):
    """The card of a product, the same one as long as it is kept; None where it may not be shown.

    It holds the columns and not the catalogue they are of: a circle would keep both alive for a while.
    """

    __slots__ = ("_ids", "_names", "_price", "_repeats", "_shown")

    def __init__(
        self,
        ids: npt.NDArray[np.int64],
        names: NamesById,
        price: npt.NDArray[np.float64],
        repeats: npt.NDArray[np.bool_],
        shown: npt.NDArray[np.bool_],
    ) -> None:
        super().__init__()
        self._ids, self._names, self._price, self._repeats, self._shown = ids, names, price, repeats, shown

    def _look_up(self, product: int) -> ProductSummary | None:
        row = _row(self._ids, product)
        if row < 0 or not self._shown[row]:
            return None
        name = self._names[product]
        assert name is not None
        return ProductSummary(name, float(self._price[row]), bool(self._repeats[row]))


def _row(ids: npt.NDArray[np.int64], product: int) -> int:
    place = int(np.searchsorted(ids, product))
    return place if place < ids.size and int(ids[place]) == product else -1
