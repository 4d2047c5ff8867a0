"""The parts of a Dataset beside its events: the catalogue, explicit preferences, and demographics."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.ids import distinct

__all__ = ["Demographics", "ItemFeatures", "Preferences", "Words", "compact", "only_rows"]


@dataclass(frozen=True, eq=False)
class Words:
    """Words of which a row may have several: colours of a product, tags, what is known of a user.

    Attributes
    ----------
    matrix : csr float32, shape (rows, words)
        Ones in ascending order of the words.
    words
        In alphabetical order.
    """

    matrix: sparse.csr_matrix
    words: list[str]

    @classmethod
    def none(cls, rows: int) -> Words:
        """No row has any."""
        return cls(nothing(rows, 0), [])

    @classmethod
    def of(cls, rows: npt.ArrayLike, words: list[str], count: int) -> Words:
        """From pairs of a row and a word (repeats count once), for `count` rows."""
        ordered = sorted(set(words))
        code = {word: i for i, word in enumerate(ordered)}
        codes = np.array([code[word] for word in words], dtype=np.int64)
        pairs = distinct(np.asarray(rows, dtype=np.int64) * max(len(ordered), 1) + codes)
        row, column = np.divmod(pairs, max(len(ordered), 1))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=count))])
        parts = (np.ones(pairs.size, np.float32), column.astype(np.int32), indptr)
        return cls(sparse.csr_matrix(parts, shape=(count, len(ordered))), ordered)

    def take(self, keep: npt.NDArray[np.int64]) -> Words:
        """The rows in `keep`; words that none of them has are gone."""
        return _used(self.matrix[keep], self.words)


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """The catalogue; row i belongs to item row i.

    The catalogue keeps no history: `active`, `stock` and `embeddings` are as it says now.

    Attributes
    ----------
    names
    text
        One string per item: name, tags, descriptions and category path, for a vectoriser.
    category : int32, shape (items,)
        Code into `category_paths`, -1 for none.
    category_paths
        "A > B".
    brand : int32, shape (items,)
        Code into `brand_names`, -1 for none.
    brand_names
    price : float32, shape (items,)
        In the shop's currency, NaN where unknown.
    created : int64, shape (items,)
        Microseconds since 1970-01-01 UTC; the first event for a product outside the catalogue, the year 1
        where the catalogue does not say.
    active : bool, shape (items,)
        May be shown.
    stock : float32, shape (items,)
        Pieces that can be sold now, infinity where zero stock sells or nobody counts, NaN for a product
        without variants.
    colours, sizes, styles
        Of the variants' options, and the tags.
    embeddings : float16, shape (items, numbers)
        The shop's own vectors as unit rows, zeros where a product has none; no columns where the shop gives
        none.
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
    stock: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    colours: Words = field(default_factory=lambda: Words.none(0))
    sizes: Words = field(default_factory=lambda: Words.none(0))
    styles: Words = field(default_factory=lambda: Words.none(0))
    embeddings: npt.NDArray[np.float16] = field(default_factory=lambda: np.empty((0, 0), np.float16))

    def __post_init__(self) -> None:
        count = len(self.names)
        if count and not self.embeddings.shape[0]:
            object.__setattr__(self, "embeddings", np.empty((count, 0), np.float16))
        if count and not self.stock.size:
            object.__setattr__(self, "stock", np.full(count, np.nan, np.float32))
        for name in ("colours", "sizes", "styles"):
            if count and not getattr(self, name).matrix.shape[0]:
                object.__setattr__(self, name, Words.none(count))

    def take(self, keep: npt.NDArray[np.int64]) -> ItemFeatures:
        """The items of the rows in `keep`; codes keep their meaning, but those of `Words`."""
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
            self.stock[keep],
            self.colours.take(keep),
            self.sizes.take(keep),
            self.styles.take(keep),
            self.embeddings[keep],
        )


@dataclass(frozen=True, eq=False)
class Preferences:
    """The explicit preferences of `user_preferences`; row i belongs to user row i.

    Attributes
    ----------
    categories : csr float32, shape (users, category paths)
    brands : csr float32, shape (users, brand names)
    price : float32, shape (users, 2)
        Lower and upper end, NaN where unknown.
    updated : int64, shape (users,)
        Microseconds since 1970-01-01 UTC; 0 for a user without any, the year 1 where their time is unknown.
    colours, sizes, styles
        csr with affinities in place of ones, and words of their own, in the spelling of `ItemFeatures`,
        whether or not a product has them.
    """

    categories: sparse.csr_matrix
    brands: sparse.csr_matrix
    price: npt.NDArray[np.float32]
    updated: npt.NDArray[np.int64]
    colours: Words = field(default_factory=lambda: Words.none(0))
    sizes: Words = field(default_factory=lambda: Words.none(0))
    styles: Words = field(default_factory=lambda: Words.none(0))

    def __post_init__(self) -> None:
        for name in ("colours", "sizes", "styles"):
            if self.updated.size and not getattr(self, name).matrix.shape[0]:
                object.__setattr__(self, name, Words.none(self.updated.size))

    def until(self, moment: int, rows: npt.NDArray[np.int64]) -> Preferences:
        """The preferences of `rows` up to `moment`; codes keep their meaning, but of `Words`."""
        updated_in_time = (self.updated != 0) & (self.updated <= moment)
        words = (
            _used(only_rows(each.matrix, rows, updated_in_time), each.words)
            for each in (self.colours, self.sizes, self.styles)
        )
        return Preferences(
            only_rows(self.categories, rows, updated_in_time),
            only_rows(self.brands, rows, updated_in_time),
            np.where(updated_in_time[rows, None], self.price[rows], np.float32(np.nan)),
            np.where(updated_in_time[rows], self.updated[rows], 0),
            *words,
        )

    @classmethod
    def none(cls, users: int, category_paths: int, brand_names: int) -> Preferences:
        """No user has a preference."""
        return cls(
            nothing(users, category_paths),
            nothing(users, brand_names),
            np.full((users, 2), np.nan, dtype=np.float32),
            np.zeros(users, dtype=np.int64),
        )


@dataclass(frozen=True, eq=False)
class Demographics:
    """What `user_profiles` says of users, as words such as "gender: f" or "age: 35-44".

    Attributes
    ----------
    words
        One row per user.
    updated : int64, shape (users,)
        Microseconds since 1970-01-01 UTC: when it was written; 0 where nothing is known.
    """

    words: Words
    updated: npt.NDArray[np.int64]

    @classmethod
    def none(cls, users: int) -> Demographics:
        """Nothing is known of anyone."""
        return cls(Words.none(users), np.zeros(users, dtype=np.int64))

    def until(self, moment: int, rows: npt.NDArray[np.int64]) -> Demographics:
        """Of the users in `rows`, what was written up to `moment`."""
        known = (self.updated != 0) & (self.updated <= moment)
        words = _used(only_rows(self.words.matrix, rows, known), self.words.words)
        return Demographics(words, np.where(known[rows], self.updated[rows], 0))


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


def _used(matrix: sparse.csr_matrix, words: list[str]) -> Words:
    kept = np.flatnonzero(np.bincount(matrix.indices, minlength=len(words)))
    new = np.full(len(words), -1, dtype=np.int32)
    new[kept] = np.arange(kept.size, dtype=np.int32)
    parts = (matrix.data, new[matrix.indices], matrix.indptr)
    return Words(sparse.csr_matrix(parts, shape=(matrix.shape[0], kept.size)), [words[i] for i in kept])


def only_rows(
    matrix: sparse.csr_matrix, rows: npt.NDArray[np.int64], kept: npt.NDArray[np.bool_]
) -> sparse.csr_matrix:
    """The rows in `rows`, emptied where `kept` (one per old row) is false; entries keep their order."""
    taken = matrix[rows]
    lengths = np.where(kept[rows], np.diff(taken.indptr), 0)
    keep = np.repeat(kept[rows], np.diff(taken.indptr))
    parts = (taken.data[keep], taken.indices[keep], np.concatenate([[0], np.cumsum(lengths)]))
    return sparse.csr_matrix(parts, shape=taken.shape)


def nothing(rows: int, columns: int) -> sparse.csr_matrix:
    """An empty csr float32 matrix."""
    parts = (np.empty(0, np.float32), np.empty(0, np.int32), np.zeros(rows + 1, np.int64))
    return sparse.csr_matrix(parts, shape=(rows, columns))
