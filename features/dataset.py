"""What models learn from: id maps, events, catalogue and preferences as of one moment, with a fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from scipy import sparse

from features.arrays import checksum, read_arrays, write_arrays
from features.blocks import blocks
from features.ids import IdMap
from features.interactions import Events, InteractionWeights
from features.outliers import DAILY, REPEATED
from features.repetition import are_repeated
from features.tables import Demographics, ItemFeatures, Preferences, Words, compact
from features.target import Target, choose_target
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid

__all__ = ["Cut", "Dataset", "Demographics", "ItemFeatures", "Preferences", "Words", "compact"]

HEADER = "dataset.json"
FORMAT = 4
_LAST_MOMENT = int(np.iinfo(np.int64).max)
"""A moment that nothing is later than."""


@dataclass(frozen=True, eq=False)
class Cut:
    """Events that are too many to be a taste (`features.outliers`): no model sees them, a rebuild needs them.

    Attributes
    ----------
    events
        In `canonical_order`.
    reason : int8, shape (n,)
        REPEATED or DAILY.
    """

    events: Events
    reason: npt.NDArray[np.int8]

    @classmethod
    def none(cls) -> Cut:
        """Nothing was cut."""
        return cls(
            Events(*(np.empty(0, _EVENT_COLUMNS[column]) for column in _EVENT_COLUMNS)), np.empty(0, np.int8)
        )

    def as_json(self) -> dict[str, int]:
        """How many events were cut, and why."""
        return {
            "repeated": int(np.count_nonzero(self.reason == REPEATED)),
            "daily": int(np.count_nonzero(self.reason == DAILY)),
        }


@dataclass(frozen=True, eq=False)
class Dataset:
    """One snapshot of a shop.

    Everything derived (`matrix`, `touched`, `fingerprint`) is computed once, on first use.

    Attributes
    ----------
    users, items
        The ids of the rows and of the columns.
    events
        The interactions, in `canonical_order`.
    item_features
        The catalogue; one row per item.
    preferences
        What users stated; one row per user.
    moment
        What ages count from, microseconds since 1970-01-01 UTC.
    weights
        What an interaction weighs.
    demographics
        What `user_profiles` says of users; one row per user.
    cut
        Events that no model sees.
    target
        What counts as a success; a target without a type is replaced by another, chosen from the events.
    taken_from
        Fingerprint of the snapshot whose newest interactions these are, see `newest`; empty: it is whole.
    left_out
        So many older interactions that snapshot has.
    """

    users: IdMap
    items: IdMap
    events: Events
    item_features: ItemFeatures
    preferences: Preferences
    moment: int
    weights: InteractionWeights
    demographics: Demographics = field(default_factory=lambda: Demographics.none(0))
    cut: Cut = field(default_factory=Cut.none)
    target: Target = field(default_factory=Target)
    taken_from: str = ""
    left_out: int = 0

    def __post_init__(self) -> None:
        if not self.target.types:
            object.__setattr__(self, "target", choose_target(self.events, None))
        if len(self.users) and not self.demographics.updated.size:
            object.__setattr__(self, "demographics", Demographics.none(len(self.users)))

    @cached_property
    def touched(self) -> sparse.csr_matrix:
        """csr float32, shape (users, items): summed weights; a stored zero means touched, not liked."""
        events, n = self.events, len(self.events)
        weight = np.empty(n, dtype=np.float64)
        for part in blocks(n):  # so that what is computed on the way stays small
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
    def is_repeated(self) -> bool:
        """Whether people come back for the same products, see `features.repetition`."""
        return are_repeated(self.events)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything in the snapshot: equal fingerprints mean equal data and settings.

        After `load` it is the stored one; `verify` has compared it with the files.
        """
        return checksum(self._arrays(), self._header())

    @property
    def snapshot(self) -> str:
        """The fingerprint of the snapshot that this is, or whose newest interactions these are."""
        return self.taken_from or self.fingerprint

    def until(self, moment: int) -> Dataset:
        """The same shop as it was at `moment`: later events, products and preferences are gone.

        Users and items that nothing is known of by then leave the id maps. The target stays: an earlier
        snapshot is not judged by another one.
        """
        events = self.events.take(self.events.time <= moment)
        early = self.cut.events.time <= moment
        cut = self.cut.events.take(early)
        seen_items = np.zeros(len(self.items), dtype=bool)
        seen_items[events.item] = True
        seen_items[cut.item] = True
        item_rows = np.flatnonzero(seen_items | (self.item_features.created <= moment))
        updated_in_time = (self.preferences.updated != 0) & (self.preferences.updated <= moment)
        seen_users = updated_in_time.copy()
        seen_users[events.user[events.user >= 0]] = True
        user_rows = np.flatnonzero(seen_users)

        new_item = np.full(len(self.items), -1, dtype=np.int32)
        new_item[item_rows] = np.arange(item_rows.size, dtype=np.int32)
        new_user = np.full(len(self.users) + 1, -1, dtype=np.int32)  # the last entry serves guests' -1
        new_user[user_rows] = np.arange(user_rows.size, dtype=np.int32)
        renumbered = [
            Events(new_user[each.user], new_item[each.item], each.kind, each.value, each.session, each.time)
            for each in (events, cut)
        ]
        preferences = self.preferences.until(moment, user_rows)
        features, preferences = compact(self.item_features.take(item_rows), preferences)
        return Dataset(
            IdMap(self.users.ids[user_rows]),
            IdMap(self.items.ids[item_rows]),
            renumbered[0],
            features,
            preferences,
            moment,
            self.weights,
            self.demographics.until(moment, user_rows),
            Cut(renumbered[1], self.cut.reason[early]),
            self.target,
        )

    def newest(self, count: int, *, seed: int = 0) -> Dataset:
        """The same shop with its `count` newest interactions alone; `self` where it has no more of them.

        Users who have none of them leave the id maps, so they are unknown like any other user whose history
        is read from elsewhere; those who had none before stay for their preferences. All products stay. Of
        interactions of one time, those that stay are drawn by `seed`.
        """
        time = np.asarray(self.events.time)
        if time.size <= count:
            return self
        oldest = int(np.partition(time, time.size - count)[time.size - count])
        kept = time > oldest
        ties = np.flatnonzero(time == oldest)
        missing = count - int(np.count_nonzero(kept))
        kept[np.random.default_rng(seed).choice(ties, missing, replace=False)] = True
        events = self.events.take(kept)
        before, after = np.zeros((2, len(self.users)), dtype=bool)
        before[self.events.user[self.events.user >= 0]] = True
        after[events.user[events.user >= 0]] = True
        rows = np.flatnonzero(after | ~before)
        number = np.full(len(self.users) + 1, -1, dtype=np.int32)  # the last entry serves guests' -1
        number[rows] = np.arange(rows.size, dtype=np.int32)
        late = self.cut.events.time > oldest
        cut = self.cut.events.take(late)
        return replace(
            self,
            users=IdMap(self.users.ids[rows]),
            events=replace(events, user=number[events.user]),
            preferences=self.preferences.until(_LAST_MOMENT, rows),
            demographics=self.demographics.until(_LAST_MOMENT, rows),
            cut=Cut(replace(cut, user=number[cut.user]), self.cut.reason[late]),
            taken_from=self.snapshot,
            left_out=self.left_out + time.size - count,
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
        colours, sizes, styles = (_words(arrays, name, len(items)) for name in _ITEM_WORDS)
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
            arrays["stock"],
            colours,
            sizes,
            styles,
            arrays.get("embeddings", np.empty((len(items), 0), np.float16)),
        )
        preferences = Preferences(
            _csr(arrays, "preferred_categories", (len(users), len(features.category_paths))),
            _csr(arrays, "preferred_brands", (len(users), len(features.brand_names))),
            arrays["preferred_price"],
            arrays["preferences_updated"],
            *(_words(arrays, f"preferred_{name}", len(users)) for name in _ITEM_WORDS),
        )
        events = Events(*(arrays[f"event_{column}"] for column in _EVENT_COLUMNS))
        weights = InteractionWeights(**header["weights"])
        demographics = Demographics(
            _words(arrays, "demographics", len(users)), arrays["demographics_updated"]
        )
        cut = Cut(Events(*(arrays[f"cut_{column}"] for column in _EVENT_COLUMNS)), arrays["cut_reason"])
        moment = int(header["moment"])
        target = Target.from_json(header["target"])
        dataset = cls(users, items, events, features, preferences, moment, weights, demographics, cut, target)
        dataset.__dict__["fingerprint"] = fingerprint
        return dataset

    def _header(self) -> Mapping[str, Any]:
        return {
            "format": FORMAT,
            "moment": self.moment,
            "weights": self.weights.as_json(),
            "target": self.target.as_json(),
            "cut": self.cut.as_json(),
            "types": {
                word: int(np.count_nonzero(self.events.kind == code))
                for code, word in enumerate(INTERACTION_TYPES)
            },
        }

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
            "stock": features.stock,
            "demographics_updated": self.demographics.updated,
            "cut_reason": self.cut.reason,
            "preferred_price": preferences.price,
            "preferences_updated": preferences.updated,
        }
        if features.embeddings.shape[1]:
            arrays["embeddings"] = features.embeddings
        for name in _TEXTS:
            arrays[name] = np.frombuffer(orjson.dumps(getattr(features, name)), dtype=np.uint8)
        for column in _EVENT_COLUMNS:
            arrays[f"event_{column}"] = getattr(self.events, column)
            arrays[f"cut_{column}"] = getattr(self.cut.events, column)
        words = {name: getattr(features, name) for name in _ITEM_WORDS}
        words |= {f"preferred_{name}": getattr(preferences, name) for name in _ITEM_WORDS}
        words["demographics"] = self.demographics.words
        matrices = {
            "preferred_categories": preferences.categories,
            "preferred_brands": preferences.brands,
            **{name: each.matrix for name, each in words.items()},
        }
        for name, each in words.items():
            arrays[f"{name}_words"] = np.frombuffer(orjson.dumps(each.words), dtype=np.uint8)
        for name, matrix in matrices.items():
            arrays |= {
                f"{name}_indptr": matrix.indptr.astype(np.int64),
                f"{name}_indices": matrix.indices.astype(np.int32),
                f"{name}_data": matrix.data.astype(np.float32),
            }
        return arrays


_TEXTS = ("names", "text", "category_paths", "brand_names")
_ITEM_WORDS = ("colours", "sizes", "styles")
_EVENT_COLUMNS: dict[str, Any] = {
    "user": np.int32,
    "item": np.int32,
    "kind": np.int8,
    "value": np.float32,
    "session": np.int64,
    "time": np.int64,
}
"""Events that are weighed at once."""


def _csr(arrays: Mapping[str, npt.NDArray[Any]], name: str, shape: tuple[int, int]) -> sparse.csr_matrix:
    parts = (arrays[f"{name}_data"], arrays[f"{name}_indices"], arrays[f"{name}_indptr"])
    return sparse.csr_matrix(parts, shape=shape)


def _words(arrays: Mapping[str, npt.NDArray[Any]], name: str, rows: int) -> Words:
    words = orjson.loads(arrays[f"{name}_words"].tobytes())
    return Words(_csr(arrays, name, (rows, len(words))), words)
