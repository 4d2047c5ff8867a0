"""The shop's products in memory: what an answer shows of them, and whether they may be shown at all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["Card", "Catalogue", "CatalogueFeed"]

FULL_RELOAD_SECONDS = 60.0
_log = get_logger(__name__)

_SELECT = """
    SELECT p.id, p.name, p.price, coalesce(p.category_id, -1), coalesce(p.status = 'active', false),
           NOT coalesce(p.track_inventory, true) OR coalesce(v.sellable, true)
    FROM products_db.products p
    LEFT JOIN (
        SELECT product_id,
               bool_or(coalesce(inventory_quantity, 0) > 0 OR coalesce(inventory_policy = 'continue', false)
                       OR NOT coalesce(inventory_tracking, true)) AS sellable
        FROM products_db.product_variants {variants} GROUP BY product_id
    ) v ON v.product_id = p.id
    {products}
    ORDER BY p.id
"""
_ALL = text(_SELECT.format(variants="", products=""))
_SOME = text(_SELECT.format(variants="WHERE product_id = ANY(:ids)", products="WHERE p.id = ANY(:ids)"))
# xmin names the transaction that wrote a row: whoever changes a product or its stock, by whatever program,
# is noticed, with no column to keep up to date. Frozen rows are older than any mark.
_CHANGED = text(
    """
    SELECT id FROM products_db.products WHERE age(xmin) <= age(CAST(CAST(:low AS xid8) AS xid))
    UNION
    SELECT product_id FROM products_db.product_variants
    WHERE age(xmin) <= age(CAST(CAST(:low AS xid8) AS xid)) AND product_id IS NOT NULL
    """
)
_MARK = text("SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text)")
_COUNT = text("SELECT count(*) FROM products_db.products")
_CATEGORIES = text(
    """
    SELECT c.id, c.parent_id, p.repeat_purchases
    FROM products_db.categories c LEFT JOIN recommendations_db.category_policies p ON p.category_id = c.id
    """
)


class Card(NamedTuple):
    """What an answer says of a product that may be shown. `price` is in the shop's currency."""

    name: str
    price: float
    repeats: bool


@dataclass(frozen=True, eq=False)
class Catalogue:
    """One state of the shop; row i of each belongs together, ids ascending. Never changed, only replaced.

    ids       int64;  names  str;  prices  float64 in the shop's currency
    category  int32, the category's id, -1 for none
    shown     bool: active, and in stock, or sold when out of stock, or without stock kept
    repeats   bool: may appear again after it was bought (policy of the nearest category that has one)
    """

    ids: npt.NDArray[np.int64]
    names: list[str]
    prices: list[float]
    category: npt.NDArray[np.int32]
    shown: npt.NDArray[np.bool_]
    repeats: npt.NDArray[np.bool_]

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

    def name(self, product: int) -> str | None:
        """The name of a product, shown or not; None when there is no such product."""
        return self._names.get(product)

    @cached_property
    def _names(self) -> dict[int, str]:
        return dict(zip(self.ids.tolist(), self.names, strict=True))

    @cached_property
    def cards(self) -> dict[int, Card]:
        """Of each product that may be shown, what an answer says."""
        ids, repeats = self.ids.tolist(), self.repeats.tolist()
        return {
            ids[i]: Card(self.names[i], self.prices[i], repeats[i])
            for i in np.flatnonzero(self.shown).tolist()
        }

    @cached_property
    def hidden_ids(self) -> npt.NDArray[np.int64]:
        """Products that must not be shown to anybody."""
        return self.ids[~self.shown]

    @cached_property
    def shown_ids(self) -> npt.NDArray[np.int64]:
        """Products that may be shown."""
        return self.ids[self.shown]


class CatalogueFeed:
    """Keeps one `Catalogue` current: all of it now and then, what changed in between."""

    def __init__(self) -> None:
        self.current = _assemble([], {}, True)
        self._rows: dict[int, Sequence[Any]] = {}
        self._policies: dict[int, bool] = {}
        self._default = True
        self._mark: str | None = None
        self._loaded_at = 0.0

    def refresh(self, session: Session) -> bool:
        """Bring `current` up to date; True when something changed.

        Deleted variants are noticed by the full reload only, everything else at once.
        """
        started = time.monotonic()
        # the mark is read before the rows: what commits in between is read twice rather than never
        mark = session.scalars(_MARK).one()
        default = get_settings().serving.repeat_purchases
        policies = repeat_policies(session, default)
        count = session.scalars(_COUNT).one()
        whole = self._mark is None or started - self._loaded_at > FULL_RELOAD_SECONDS
        changed: list[int] = []
        if not whole:
            changed = list(session.scalars(_CHANGED, {"low": self._mark}))
            new = sum(product not in self._rows for product in changed)
            whole = len(self._rows) + new != count or len(changed) > 0.2 * count + 1000
        if whole:
            self._rows = {row[0]: tuple(row) for row in session.execute(_ALL)}
            self._loaded_at = started
        elif changed:
            found = {row[0]: tuple(row) for row in session.execute(_SOME, {"ids": changed})}
            changed = [product for product, row in found.items() if self._rows.get(product) != row]
            self._rows.update(found)
        self._mark = mark
        moved = whole or bool(changed) or policies != self._policies or default != self._default
        self._policies, self._default = policies, default
        if moved:
            fresh = _assemble(list(self._rows.values()), policies, default)
            _ = fresh.cards, fresh.name(0)  # built here, in the background, not by the first request
            self.current = fresh
            _log.debug("catalogue refreshed", products=len(fresh), whole=whole, changed=len(changed))
        return moved


def repeat_policies(session: Session, default: bool) -> dict[int, bool]:
    """For each category whether its products may appear again: its own rule, else the nearest ancestor's."""
    rows = {row.id: (row.parent_id, row.repeat_purchases) for row in session.execute(_CATEGORIES)}
    return inherit(rows, default)


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


def _assemble(rows: Sequence[Sequence[Any]], policies: Mapping[int, bool], default: bool) -> Catalogue:
    ordered = sorted(rows, key=lambda row: int(row[0]))
    columns: list[Sequence[Any]] = list(zip(*ordered, strict=True)) if ordered else [()] * 6
    ids, names, prices, categories, active, sellable = columns
    category = np.array(categories, dtype=np.int32)
    return Catalogue(
        np.array(ids, dtype=np.int64),
        list(names),
        [float(price) for price in prices],
        category,
        np.array(active, dtype=bool) & np.array(sellable, dtype=bool),
        np.array([policies.get(one, default) for one in categories], dtype=bool),
    )
