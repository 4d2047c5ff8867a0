"""The catalogue in memory: columns to filter products by, and what responses contain of them."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from serving.catalogue.product_summaries import (
    NO_DETAILS,
    LabelsById,
    Names,
    NamesById,
    ProductSummaries,
    ProductSummary,
)

__all__ = ["Catalogue", "CatalogueRow", "ProductSummary", "inherit_policies"]

MOST_IDS_PER_PRODUCT = 4
"""So many ids up to the largest, for each product, are worth a table of them, 8 bytes each."""
Mask = npt.NDArray[np.bool_]


class CatalogueRow(NamedTuple):
    """One product as stored.

    Attributes
    ----------
    price
        In the shop's currency.
    category, brand
        Its id; -1 for none.
    created
        Seconds since 1970.
    shown, stocked
        As in `Catalogue`.
    details
        `ProductDetails` as a JSON array.
    """

    id: int
    name: str
    price: float
    category: int
    brand: int
    created: float
    shown: bool
    stocked: bool
    tags: tuple[str, ...]
    details: str = NO_DETAILS


@dataclass(frozen=True, eq=False)
class Catalogue:
    """One immutable snapshot of the n products, as columns with ascending ids.

    Attributes
    ----------
    ids : int64, shape (n,)
    names : str, shape (n,), packed
    price : float64, shape (n,)
        In the shop's currency.
    category : int32, shape (n,)
        Id of the category; -1 for none.
    brand : int32, shape (n,)
        Id of the brand; -1 for none.
    created : float64, shape (n,)
        Seconds since 1970.
    shown : bool, shape (n,)
        Active, and in stock, or sold when out of stock, or without tracked stock.
    stocked : bool, shape (n,)
        In stock, or without tracked stock.
    repeats : bool, shape (n,)
        May appear again after a purchase (policy of the nearest category that has one).
    tag_code : int32
        The tags of all rows concatenated, as values of `tag_words`.
    tag_start : int64, shape (n + 1,)
        The tags of row i are tag_code[tag_start[i]:tag_start[i + 1]].
    tag_words
        The number of each tag.
    parents
        The parent of each category; None at the top.
    """

    ids: npt.NDArray[np.int64]
    names: Names
    price: npt.NDArray[np.float64]
    category: npt.NDArray[np.int32]
    brand: npt.NDArray[np.int32]
    created: npt.NDArray[np.float64]
    shown: Mask
    stocked: Mask
    repeats: Mask
    tag_code: npt.NDArray[np.int32]
    tag_start: npt.NDArray[np.int64]
    tag_words: Mapping[str, int]
    parents: Mapping[int, int | None]
    policies: Mapping[int, bool] = field(repr=False)
    """For each category whether its products may appear again."""
    default: bool = True
    """The same for products without a category."""
    details: Names = field(default_factory=lambda: Names.of([]), repr=False)
    """What items of a list say of a product beside its name and price; JSON, packed."""

    @classmethod
    def of(
        cls,
        rows: Sequence[CatalogueRow],
        policies: Mapping[int, bool] | None = None,
        default: bool = True,
        parents: Mapping[int, int | None] | None = None,
    ) -> Self:
        """Build the catalogue from distinct products in any order."""
        return cls.read(sorted(rows), policies, default, parents)

    @classmethod
    def read(
        cls,
        rows: Iterable[CatalogueRow],
        policies: Mapping[int, bool] | None = None,
        default: bool = True,
        parents: Mapping[int, int | None] | None = None,
    ) -> Self:
        """Build the catalogue from an iterator of rows with ascending ids."""
        columns: dict[str, array[Any]] = {"id": array("q"), "price": array("d"), "created": array("d")}
        columns |= {name: array("i") for name in ("category", "brand", "shown", "stocked")}
        words: dict[str, int] = {}
        codes, lengths = array("i"), array("i")
        details: list[str] = []

        def names() -> Iterable[str]:
            for row in rows:
                for name, column in columns.items():
                    column.append(getattr(row, name))
                codes.extend([words.setdefault(tag, len(words)) for tag in row.tags])
                lengths.append(len(row.tags))
                details.append(row.details)
                yield row.name

        packed = Names.of(names())
        rules = dict(policies or {})
        category = np.array(columns["category"], dtype=np.int32)
        return cls(
            np.array(columns["id"], dtype=np.int64),
            packed,
            np.array(columns["price"], dtype=np.float64),
            category,
            np.array(columns["brand"], dtype=np.int32),
            np.array(columns["created"], dtype=np.float64),
            np.array(columns["shown"], dtype=bool),
            np.array(columns["stocked"], dtype=bool),
            _repeats_by_category(category, rules, default),
            np.array(codes, dtype=np.int32),
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
            words,
            dict(parents or {}),
            rules,
            default,
            Names.of(details),
        )

    def equals(self, other: Catalogue) -> bool:
        """Return whether all columns are equal."""
        return all(_equal(getattr(self, each.name), getattr(other, each.name)) for each in fields(self))

    def with_rows(self, rows: Sequence[CatalogueRow]) -> Catalogue:
        """Return a catalogue with these products added or replaced.

        Copies a few arrays instead of building 100,000 objects: responses must not wait for a price change.
        """
        extended = self._with_room([row.id for row in rows])
        changed = extended._replace_rows(rows)
        # cached objects of unchanged products stay the same
        products = {row.id for row in rows}
        changed.names_by_id.take_over(self.names_by_id, products)
        changed.labels_by_id.take_over(self.labels_by_id, products)
        changed.summaries.take_over(self.summaries, products)
        if changed.ids is self.ids:
            vars(changed)["_row_by_id"] = self._row_by_id
        return changed

    def _with_room(self, products: Sequence[int]) -> Catalogue:
        """Insert a hidden, empty row for each product that has none."""
        new = np.unique(np.array(products, dtype=np.int64)[self.rows(products) < 0])
        if new.size == 0:
            return self
        insert_at = np.searchsorted(self.ids, new)
        columns_by_name = {each.name: getattr(self, each.name) for each in fields(self)}
        empty = {"price": 0.0, "category": -1, "brand": -1, "created": 0.0} | dict.fromkeys(
            ("shown", "stocked", "repeats"), False
        )
        columns_by_name |= {
            name: np.insert(columns_by_name[name], insert_at, value) for name, value in empty.items()
        }
        columns_by_name |= {
            "ids": np.insert(self.ids, insert_at, new),
            "names": self.names.with_room(insert_at),
            "details": self.details.with_room(insert_at),
        }
        return Catalogue(
            **columns_by_name | {"tag_start": np.insert(self.tag_start, insert_at, self.tag_start[insert_at])}
        )

    def _replace_rows(self, rows: Sequence[CatalogueRow]) -> Catalogue:
        row_indices = self.rows([row.id for row in rows]).tolist()
        columns_by_name = {each.name: getattr(self, each.name) for each in fields(self)}
        columns = ("price", "category", "brand", "created", "shown", "stocked", "repeats")
        columns_by_name |= {name: columns_by_name[name].copy() for name in columns}
        for row_index, row in zip(row_indices, rows, strict=True):
            for name in ("price", "category", "brand", "created", "shown", "stocked"):
                columns_by_name[name][row_index] = getattr(row, name)
            columns_by_name["repeats"][row_index] = self.policies.get(row.category, self.default)
        columns_by_name |= self._tags_with(
            {row_index: row.tags for row_index, row in zip(row_indices, rows, strict=True)}
        )
        columns_by_name["names"] = self.names.replaced(
            dict(zip(row_indices, (row.name for row in rows), strict=True))
        )
        columns_by_name["details"] = self.details.replaced(
            dict(zip(row_indices, (row.details for row in rows), strict=True))
        )
        return Catalogue(**columns_by_name)

    def _tags_with(self, changes: Mapping[int, tuple[str, ...]]) -> dict[str, Any]:
        words = dict(self.tag_words)
        new = {
            row_index: [words.setdefault(tag, len(words)) for tag in tags]
            for row_index, tags in changes.items()
            if tags != self.tags_of(row_index)
        }
        if not new:
            return {}
        lengths = np.diff(self.tag_start)
        lengths[list(new)] = [len(codes) for codes in new.values()]
        pieces, last = [], 0
        for row_index in sorted(new):
            pieces += [
                self.tag_code[self.tag_start[last] : self.tag_start[row_index]],
                np.array(new[row_index], np.int32),
            ]
            last = row_index + 1
        pieces.append(self.tag_code[self.tag_start[last] :])
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return {"tag_code": np.concatenate(pieces), "tag_start": start, "tag_words": words}

    def __len__(self) -> int:
        return int(self.ids.size)

    def rows(self, products: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the rows of product ids, int64, same shape; -1 for unknown ids."""
        ids = np.asarray(products, dtype=np.int64)
        if self._row_by_id is not None:
            # what is outside of the table is read at its ends, which have no product
            found: npt.NDArray[np.int64] = self._row_by_id.take(ids, mode="clip")
            return found
        if self.ids.size == 0:
            return np.full(ids.shape, -1, dtype=np.int64)
        rows = np.searchsorted(self.ids, ids)
        rows[rows == self.ids.size] = 0
        return np.where(self.ids[rows] == ids, rows, -1)

    @cached_property
    def _row_by_id(self) -> npt.NDArray[np.int64] | None:
        """The row of each id from 0 to the largest and one more, -1 for none; None where most would be."""
        if self.ids.size == 0 or self.ids[0] < 1 or self.ids[-1] > MOST_IDS_PER_PRODUCT * self.ids.size:
            return None
        table = np.full(int(self.ids[-1]) + 2, -1, dtype=np.int64)
        table[self.ids] = np.arange(self.ids.size)
        return table

    def by_id(self, mask: Mask) -> Mask | None:
        """Return a mask of rows as one of ids, for `take(..., mode="clip")`; None where ids are too sparse.

        Parameters
        ----------
        mask : bool, shape (n,)
        """
        rows = self._row_by_id
        return None if rows is None else mask[rows] & (rows >= 0)

    def row(self, product: int) -> int:
        """Return the row of one product, -1 for an unknown id."""
        if self._row_by_id is not None:
            return int(self._row_by_id[product]) if 0 <= product < self._row_by_id.size else -1
        row_index = int(np.searchsorted(self.ids, product))
        return row_index if row_index < self.ids.size and int(self.ids[row_index]) == product else -1

    def mark(self, products: Collection[int]) -> Mask:
        """Return a mask of these products; bool (n,)."""
        mask = np.zeros(len(self), dtype=bool)
        rows = self.rows(np.fromiter(products, np.int64, len(products)))
        mask[rows[rows >= 0]] = True
        return mask

    def name(self, product: int) -> str | None:
        """Return the name of a product, on sale or not; None for an unknown id."""
        return self.names_by_id[product]

    def label(self, product: int) -> tuple[str | None, str | None]:
        """Return the name and SKU of a product, on sale or not; None for an unknown id."""
        return self.labels_by_id[product] or (None, None)

    def tags_of(self, row: int) -> tuple[str, ...]:
        """Return the tags of one row."""
        codes = self.tag_code[self.tag_start[row] : self.tag_start[row + 1]]
        return tuple(self._tag_list[code] for code in codes.tolist())

    def tagged(self, tag: str) -> Mask:
        """Return a mask of the products with this tag; bool (n,)."""
        code = self.tag_words.get(tag)
        mask = np.zeros(len(self), dtype=bool)
        if code is not None:
            positions = np.flatnonzero(self.tag_code == code)
            mask[np.searchsorted(self.tag_start, positions, side="right") - 1] = True
        return mask

    def subtree(self, category: int) -> Mask:
        """Return a mask of the products of a category and its descendants; bool (n,)."""
        return np.isin(self.category, self.descendants(category))

    def descendants(self, category: int) -> list[int]:
        """Return the category and its descendants, sorted; empty for an unknown category."""
        if category not in self.parents:
            return []
        descendants, queue = {category}, [category]
        while queue:
            children = set(self._children.get(queue.pop(), ())) - descendants
            descendants |= children
            queue += children
        return sorted(descendants)

    @cached_property
    def _tag_list(self) -> list[str]:
        return list(self.tag_words)

    @cached_property
    def _children(self) -> dict[int, list[int]]:
        children: dict[int, list[int]] = {}
        for category, parent in self.parents.items():
            if parent is not None:
                children.setdefault(parent, []).append(category)
        return children

    @cached_property
    def names_by_id(self) -> NamesById:
        """The name of each product, on sale or not."""
        return NamesById(self.ids, self.names)

    @cached_property
    def labels_by_id(self) -> LabelsById:
        """The name and SKU of each product, on sale or not."""
        return LabelsById(self.ids, self.names, self.details)

    @cached_property
    def summaries(self) -> ProductSummaries:
        """The summary of each product on sale."""
        return ProductSummaries(
            self.ids, self.names_by_id, self.price, self.repeats, self.shown, self.stocked, self.details
        )

    @cached_property
    def newest(self) -> int | None:
        """Id of the product on sale that arrived last; None without products on sale."""
        if not self.shown.any():
            return None
        last = self.shown & (self.created == self.created[self.shown].max())
        return int(self.ids[last].max())

    @cached_property
    def shown_ids(self) -> npt.NDArray[np.int64]:
        """Ids of the products on sale, int64."""
        return self.ids[self.shown]


def inherit_policies(rows: Mapping[int, tuple[int | None, bool | None]], default: bool) -> dict[int, bool]:
    """Resolve `category → (parent, own policy)` to policies; a cycle of parents ends at the default."""
    resolved: dict[int, bool] = {}
    for category in rows:
        path: list[int] = []
        ancestor: int | None = category
        policy = default
        while ancestor is not None and ancestor in rows and ancestor not in path:
            if ancestor in resolved:
                policy = resolved[ancestor]
                break
            path.append(ancestor)
            parent, own = rows[ancestor]
            if own is not None:
                policy = own
                break
            ancestor = parent
        resolved.update(dict.fromkeys(path, policy))
    return resolved


def _repeats_by_category(
    category: npt.NDArray[np.int32], policies: Mapping[int, bool], default: bool
) -> Mask:
    categories, inverse = np.unique(category, return_inverse=True)
    repeats = np.array([policies.get(each, default) for each in categories.tolist()], dtype=bool)
    return repeats[inverse] if categories.size else np.empty(0, dtype=bool)


def _equal(value: object, other: object) -> bool:
    if isinstance(value, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(value, other)
    return value == other
