"""The shop's products in memory: what answers show of them, filter them by, and whether they may be shown."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from serving.catalogue.product_summaries import Names, NamesById, ProductSummaries, ProductSummary

__all__ = ["Catalogue", "ProductSummary", "Row", "inherit"]

Mask = npt.NDArray[np.bool_]


class Row(NamedTuple):
    """One product as PostgreSQL has it; -1 for no category or brand, `created` in seconds since 1970."""

    id: int
    name: str
    price: float
    category: int
    brand: int
    created: float
    shown: bool
    stocked: bool
    tags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """One state of the shop; row i of each belongs together, ids ascending. Never changed, only replaced.

    ids       int64;  names  str, packed;  price  float64 in the shop's currency
    category  int32, the category's id, -1 for none;  brand  the same
    created   float64, seconds since 1970
    shown     bool: active, and in stock, or sold when out of stock, or without stock kept
    stocked   bool: a piece is there now, or no stock is kept
    repeats   bool: may appear again after it was bought (policy of the nearest category that has one)
    tag_code  int32, the tags of all rows one after the other, as places in `tag_words`
    tag_start int64, len + 1: the tags of row i are tag_code[tag_start[i]:tag_start[i + 1]]
    parents   of each category its parent, None at the top
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
    """Of each category whether its products may appear again."""
    default: bool = True
    """The same for products without a category."""

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        policies: Mapping[int, bool] | None = None,
        default: bool = True,
        parents: Mapping[int, int | None] | None = None,
    ) -> Self:
        """From rows in any order, each product once."""
        return cls.read(sorted(rows), policies, default, parents)

    @classmethod
    def read(
        cls,
        rows: Iterable[Row],
        policies: Mapping[int, bool] | None = None,
        default: bool = True,
        parents: Mapping[int, int | None] | None = None,
    ) -> Self:
        """From rows with ascending ids, which need not be in memory all at once."""
        columns: dict[str, array[Any]] = {"id": array("q"), "price": array("d"), "created": array("d")}
        columns |= {name: array("i") for name in ("category", "brand", "shown", "stocked")}
        words: dict[str, int] = {}
        codes, lengths = array("i"), array("i")

        def names() -> Iterable[str]:
            for row in rows:
                for name, column in columns.items():
                    column.append(getattr(row, name))
                codes.extend([words.setdefault(tag, len(words)) for tag in row.tags])
                lengths.append(len(row.tags))
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
            _repeating(category, rules, default),
            np.array(codes, dtype=np.int32),
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
            words,
            dict(parents or {}),
            rules,
            default,
        )

    def same_as(self, other: Catalogue) -> bool:
        """Whether both are the same state of the shop."""
        return all(_equal(getattr(self, one.name), getattr(other, one.name)) for one in fields(self))

    def with_rows(self, rows: Sequence[Row]) -> Catalogue:
        """The same with these products, new ones or in the place of their former selves.

        Copies a few arrays instead of making 100,000 objects anew: a sale must not stop the answers.
        """
        known = self._with_room([row.id for row in rows])
        changed = known._replaced(rows)
        # what was looked up and did not change goes on being the same
        products = {row.id for row in rows}
        changed.names_by_id.take_over(self.names_by_id, products)
        changed.summaries.take_over(self.summaries, products)
        return changed

    def _with_room(self, products: Sequence[int]) -> Catalogue:
        """With a hidden, empty row for each of these products that has none."""
        new = np.unique(np.array(products, dtype=np.int64)[self.rows(products) < 0])
        if new.size == 0:
            return self
        at = np.searchsorted(self.ids, new)
        copied = {one.name: getattr(self, one.name) for one in fields(self)}
        empty = {"price": 0.0, "category": -1, "brand": -1, "created": 0.0} | dict.fromkeys(
            ("shown", "stocked", "repeats"), False
        )
        copied |= {name: np.insert(copied[name], at, value) for name, value in empty.items()}
        copied |= {"ids": np.insert(self.ids, at, new), "names": self.names.with_room(at)}
        return Catalogue(**copied | {"tag_start": np.insert(self.tag_start, at, self.tag_start[at])})

    def _replaced(self, rows: Sequence[Row]) -> Catalogue:
        places = self.rows([row.id for row in rows]).tolist()
        copied = {one.name: getattr(self, one.name) for one in fields(self)}
        columns = ("price", "category", "brand", "created", "shown", "stocked", "repeats")
        copied |= {name: copied[name].copy() for name in columns}
        for place, row in zip(places, rows, strict=True):
            for name in ("price", "category", "brand", "created", "shown", "stocked"):
                copied[name][place] = getattr(row, name)
            copied["repeats"][place] = self.policies.get(row.category, self.default)
        copied |= self._tags_with({place: row.tags for place, row in zip(places, rows, strict=True)})
        copied["names"] = self.names.replaced(dict(zip(places, (row.name for row in rows), strict=True)))
        return Catalogue(**copied)

    def _tags_with(self, changes: Mapping[int, tuple[str, ...]]) -> dict[str, Any]:
        words = dict(self.tag_words)
        new = {
            place: [words.setdefault(tag, len(words)) for tag in tags]
            for place, tags in changes.items()
            if tags != self.tags_of(place)
        }
        if not new:
            return {}
        lengths = np.diff(self.tag_start)
        lengths[list(new)] = [len(codes) for codes in new.values()]
        pieces, last = [], 0
        for place in sorted(new):
            pieces += [
                self.tag_code[self.tag_start[last] : self.tag_start[place]],
                np.array(new[place], np.int32),
            ]
            last = place + 1
        pieces.append(self.tag_code[self.tag_start[last] :])
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return {"tag_code": np.concatenate(pieces), "tag_start": start, "tag_words": words}

    def __len__(self) -> int:
        return int(self.ids.size)

    def rows(self, products: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Rows of product ids, int64, same shape; -1 where there is no such product."""
        wanted = np.asarray(products, dtype=np.int64)
        if self.ids.size == 0:
            return np.full(wanted.shape, -1, dtype=np.int64)
        rows = np.searchsorted(self.ids, wanted)
        rows[rows == self.ids.size] = 0
        return np.where(self.ids[rows] == wanted, rows, -1)

    def row(self, product: int) -> int:
        """The row of one product, -1 where there is none."""
        place = int(np.searchsorted(self.ids, product))
        return place if place < self.ids.size and int(self.ids[place]) == product else -1

    def mark(self, products: Collection[int]) -> Mask:
        """The rows of these products; bool, a row each."""
        marked = np.zeros(len(self), dtype=bool)
        rows = self.rows(np.fromiter(products, np.int64, len(products)))
        marked[rows[rows >= 0]] = True
        return marked

    def name(self, product: int) -> str | None:
        """The name of a product, shown or not; None when there is no such product."""
        return self.names_by_id[product]

    def tags_of(self, row: int) -> tuple[str, ...]:
        """The tags of one row."""
        codes = self.tag_code[self.tag_start[row] : self.tag_start[row + 1]]
        return tuple(self._tag_list[code] for code in codes.tolist())

    def tagged(self, tag: str) -> Mask:
        """The products with this tag; bool, a row each."""
        code = self.tag_words.get(tag)
        mask = np.zeros(len(self), dtype=bool)
        if code is not None:
            where = np.flatnonzero(self.tag_code == code)
            mask[np.searchsorted(self.tag_start, where, side="right") - 1] = True
        return mask

    def subtree(self, category: int) -> Mask:
        """The products of a category and of all below it; bool, a row each."""
        return np.isin(self.category, self.descendants(category))

    def descendants(self, category: int) -> list[int]:
        """The category and all below it; empty when there is no such category."""
        if category not in self.parents:
            return []
        found, waiting = {category}, [category]
        while waiting:
            fresh = set(self._children.get(waiting.pop(), ())) - found
            found |= fresh
            waiting += fresh
        return sorted(found)

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
    def summaries(self) -> ProductSummaries:
        """Of each product that may be shown, what an answer says."""
        return ProductSummaries(self.ids, self.names_by_id, self.price, self.repeats, self.shown)

    @cached_property
    def shown_ids(self) -> npt.NDArray[np.int64]:
        """Products that may be shown."""
        return self.ids[self.shown]


def inherit(rows: Mapping[int, tuple[int | None, bool | None]], default: bool) -> dict[int, bool]:
    """Resolve `category → (parent, own rule)`; a circle of parents ends at the default."""
    resolved: dict[int, bool] = {}
    for category in rows:
        path: list[int] = []
        at: int | None = category
        rule = default
        while at is not None and at in rows and at not in path:
            if at in resolved:
                rule = resolved[at]
                break
            path.append(at)
            parent, own = rows[at]
            if own is not None:
                rule = own
                break
            at = parent
        resolved.update(dict.fromkeys(path, rule))
    return resolved


def _repeating(category: npt.NDArray[np.int32], policies: Mapping[int, bool], default: bool) -> Mask:
    known, of = np.unique(category, return_inverse=True)
    rules = np.array([policies.get(one, default) for one in known.tolist()], dtype=bool)
    return rules[of] if known.size else np.empty(0, dtype=bool)


def _equal(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(one, other)
    return one == other
