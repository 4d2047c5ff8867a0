"""What models learn from: id maps, events, catalogue and preferences as of one moment, with a fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from scipy import sparse

from features.arrays import checksum, read_arrays, write_arrays
from features.ids import IdMap
from features.interactions import Events, InteractionWeights
from recsys.errors import Invalid

__all__ = ["Dataset", "ItemFeatures", "Preferences", "compact"]

HEADER = "dataset.json"
FORMAT = 1


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """The catalogue; row i belongs to item row i.

    text      one string per item: name, tags and descriptions, for a vectoriser
    category  int32 code into `category_paths` ("A > B"), -1 for none
    brand     int32 code into `brand_names`, -1 for none
    price     float32 in the shop's currency, NaN where unknown
    created   int64, microseconds since 1970-01-01 UTC; the first event for a product outside the catalogue,
              the year 1 where the catalogue does not say
    active    bool: may be shown (as the catalogue says now; it keeps no history)
    """

    names: list[str]
    text: list[str]
    category: npt.NDArray[np.int32]
    category_paths: list[str]
    brand: npt.NDArray[np.int32]
    brand_names: list[str]
    price: npt.NDArray[np.float32]
    created: npt.NDArray[np.int64]
    active: npt.NDArray[np.bool_]

    def take(self, keep: npt.NDArray[np.int64]) -> ItemFeatures:
        """The items of the rows in `keep`; codes keep their meaning."""
        return ItemFeatures(
            [self.names[i] for i in keep],
            [self.text[i] for i in keep],
            self.category[keep],
            self.category_paths,
            self.brand[keep],
            self.brand_names,
            self.price[keep],
            self.created[keep],
            self.active[keep],
        )


@dataclass(frozen=True, eq=False)
class Preferences:
    """What `user_preferences` says; row i belongs to user row i.

    categories  csr float32, shape (users, category paths)
    brands      csr float32, shape (users, brand names)
    price       float32, shape (users, 2): lower and upper end, NaN where unknown
    updated     int64, microseconds since 1970-01-01 UTC; 0 for a user without preferences,
                the year 1 where their time is unknown
    """

    categories: sparse.csr_matrix
    brands: sparse.csr_matrix
    price: npt.NDArray[np.float32]
    updated: npt.NDArray[np.int64]

    @classmethod
    def none(cls, users: int, category_paths: int, brand_names: int) -> Preferences:
        """Nobody said anything."""
        return cls(
            _nothing_liked(users, category_paths),
            _nothing_liked(users, brand_names),
            np.full((users, 2), np.nan, dtype=np.float32),
            np.zeros(users, dtype=np.int64),
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """One snapshot. `moment` (microseconds since 1970-01-01 UTC) is what ages count from.

    Everything derived (`matrix`, `touched`, `fingerprint`) is computed once, on first use.
    """

    users: IdMap
    items: IdMap
    events: Events
    item_features: ItemFeatures
    preferences: Preferences
    moment: int
    weights: InteractionWeights

    @cached_property
    def touched(self) -> sparse.csr_matrix:
        """csr float32, shape (users, items): summed weights; a stored zero means touched, not liked."""
        events, n = self.events, len(self.events)
        weight = np.empty(n, dtype=np.float64)
        for start in range(0, n, _BLOCK):  # in blocks, so that what is computed on the way stays small
            part = slice(start, start + _BLOCK)
            weight[part] = self.weights.weigh(
                events.kind[part], events.value[part], events.time[part], self.moment
            )
        user, item = np.asarray(events.user), np.asarray(events.item)
        known = user >= 0
        if not known.all():
            user, item, weight = user[known], item[known], weight[known]
        # float64 while summing: the sum of many decayed events must not depend on their order
        shape = (len(self.users), len(self.items))
        summed = sparse.coo_matrix((weight, (user, item)), shape=shape).tocsr()
        summed.sort_indices()
        positive = np.maximum(summed.data, 0.0).astype(np.float32)
        return sparse.csr_matrix((positive, summed.indices, summed.indptr), shape=shape)

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """csr float32, shape (users, items): `touched` without its zeros; what collaborative models fit."""
        positive = self.touched.copy()
        positive.eliminate_zeros()
        return positive

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything in the snapshot: equal fingerprints mean equal data and settings.

        After `load` it is the one that was written; `verify` has compared it with the files.
        """
        return checksum(self._arrays(), self._header())

    def until(self, moment: int) -> Dataset:
        """The same shop as it was at `moment`: later events, products and preferences are gone.

        Users and items that nothing is known of by then leave the id maps.
        """
        events = self.events.take(self.events.time <= moment)
        seen_items = np.zeros(len(self.items), dtype=bool)
        seen_items[events.item] = True
        item_rows = np.flatnonzero(seen_items | (self.item_features.created <= moment))
        told = (self.preferences.updated != 0) & (self.preferences.updated <= moment)
        seen_users = told.copy()
        seen_users[events.user[events.user >= 0]] = True
        user_rows = np.flatnonzero(seen_users)

        new_item = np.full(len(self.items), -1, dtype=np.int32)
        new_item[item_rows] = np.arange(item_rows.size, dtype=np.int32)
        new_user = np.full(len(self.users) + 1, -1, dtype=np.int32)  # the last entry serves guests' -1
        new_user[user_rows] = np.arange(user_rows.size, dtype=np.int32)
        renumbered = Events(
            new_user[events.user],
            new_item[events.item],
            events.kind,
            events.value,
            events.session,
            events.time,
        )
        preferences = Preferences(
            _only_rows(self.preferences.categories, user_rows, told),
            _only_rows(self.preferences.brands, user_rows, told),
            np.where(told[user_rows, None], self.preferences.price[user_rows], np.float32(np.nan)),
            np.where(told[user_rows], self.preferences.updated[user_rows], 0),
        )
        features, preferences = compact(self.item_features.take(item_rows), preferences)
        return Dataset(
            IdMap(self.users.ids[user_rows]),
            IdMap(self.items.ids[item_rows]),
            renumbered,
            features,
            preferences,
            moment,
            self.weights,
        )

    def save(self, folder: Path) -> str:
        """Write the snapshot whole or not at all; return its fingerprint."""
        written = write_arrays(folder, self._header(), self._arrays(), header_name=HEADER)
        self.__dict__["fingerprint"] = (
            written  # the same digest; computing it again would read everything twice
        )
        return written

    @classmethod
    def load(cls, folder: Path, *, verify: bool = True) -> Dataset:
        """Read a snapshot, memory-mapped. Raises NotFound, or Invalid when damaged or of another format."""
        header, arrays, fingerprint = read_arrays(folder, header_name=HEADER, verify=verify)
        if header.get("format") != FORMAT:
            raise Invalid(
                f"{folder} is a dataset of format {header.get('format')}; this version reads {FORMAT}. "
                "Run `recsys features build` again"
            )
        texts = {name: orjson.loads(arrays[name].tobytes()) for name in _TEXTS}
        users, items = IdMap(arrays["users"]), IdMap(arrays["items"])
        features = ItemFeatures(
            texts["names"],
            texts["text"],
            arrays["category"],
            texts["category_paths"],
            arrays["brand"],
            texts["brand_names"],
            arrays["price"],
            arrays["created"],
            arrays["active"],
        )
        preferences = Preferences(
            _csr(arrays, "preferred_categories", (len(users), len(features.category_paths))),
            _csr(arrays, "preferred_brands", (len(users), len(features.brand_names))),
            arrays["preferred_price"],
            arrays["preferences_updated"],
        )
        events = Events(*(arrays[f"event_{column}"] for column in _EVENT_COLUMNS))
        weights = InteractionWeights(**header["weights"])
        dataset = cls(users, items, events, features, preferences, int(header["moment"]), weights)
        dataset.__dict__["fingerprint"] = fingerprint
        return dataset

    def _header(self) -> Mapping[str, Any]:
        return {"format": FORMAT, "moment": self.moment, "weights": self.weights.as_json()}

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        features, preferences = self.item_features, self.preferences
        arrays: dict[str, npt.NDArray[Any]] = {
            "users": self.users.ids,
            "items": self.items.ids,
            "category": features.category,
            "brand": features.brand,
            "price": features.price,
            "created": features.created,
            "active": features.active,
            "preferred_price": preferences.price,
            "preferences_updated": preferences.updated,
        }
        for name in _TEXTS:
            arrays[name] = np.frombuffer(orjson.dumps(getattr(features, name)), dtype=np.uint8)
        for column in _EVENT_COLUMNS:
            arrays[f"event_{column}"] = getattr(self.events, column)
        for name, matrix in (("categories", preferences.categories), ("brands", preferences.brands)):
            arrays |= {
                f"preferred_{name}_indptr": matrix.indptr.astype(np.int64),
                f"preferred_{name}_indices": matrix.indices.astype(np.int32),
                f"preferred_{name}_data": matrix.data.astype(np.float32),
            }
        return arrays


_TEXTS = ("names", "text", "category_paths", "brand_names")
_EVENT_COLUMNS = ("user", "item", "kind", "value", "session", "time")
_BLOCK = 1 << 20
"""Events that are weighed at once."""


def compact(features: ItemFeatures, preferences: Preferences) -> tuple[ItemFeatures, Preferences]:
    """The same with only those category paths and brand names that an item or a preference refers to.

    So a category that did not exist yet leaves no trace in an earlier snapshot.
    """
    category, category_paths, categories = _compact(
        features.category, features.category_paths, preferences.categories
    )
    brand, brand_names, brands = _compact(features.brand, features.brand_names, preferences.brands)
    return (
        replace(
            features, category=category, category_paths=category_paths, brand=brand, brand_names=brand_names
        ),
        replace(preferences, categories=categories, brands=brands),
    )


def _compact(
    codes: npt.NDArray[np.int32], words: list[str], preferred: sparse.csr_matrix
) -> tuple[npt.NDArray[np.int32], list[str], sparse.csr_matrix]:
    used = np.zeros(len(words), dtype=bool)
    used[codes[codes >= 0]] = True
    used[preferred.indices] = True
    kept = np.flatnonzero(used)
    new = np.full(len(words) + 1, -1, dtype=np.int32)  # the last entry serves the code -1
    new[kept] = np.arange(kept.size, dtype=np.int32)
    parts = (preferred.data, new[preferred.indices], preferred.indptr)
    return (
        new[codes],
        [words[i] for i in kept],
        sparse.csr_matrix(parts, shape=(preferred.shape[0], kept.size)),
    )


def _only_rows(
    matrix: sparse.csr_matrix, rows: npt.NDArray[np.int64], told: npt.NDArray[np.bool_]
) -> sparse.csr_matrix:
    """The rows in `rows`, emptied where the user had told nothing yet; entries keep their order."""
    lengths = np.where(told, np.diff(matrix.indptr), 0)
    keep = np.repeat(told, np.diff(matrix.indptr))
    indptr = np.concatenate([[0], np.cumsum(lengths[rows])])
    # rows left out hold no kept entry: a user who told something by then is always kept
    parts = (matrix.data[keep], matrix.indices[keep], indptr)
    return sparse.csr_matrix(parts, shape=(rows.size, matrix.shape[1]))


def _nothing_liked(users: int, words: int) -> sparse.csr_matrix:
    parts = (np.empty(0, np.float32), np.empty(0, np.int32), np.zeros(users + 1, np.int64))
    return sparse.csr_matrix(parts, shape=(users, words))


def _csr(arrays: Mapping[str, npt.NDArray[Any]], name: str, shape: tuple[int, int]) -> sparse.csr_matrix:
    parts = (arrays[f"{name}_data"], arrays[f"{name}_indices"], arrays[f"{name}_indptr"])
    return sparse.csr_matrix(parts, shape=shape)
