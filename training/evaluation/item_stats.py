"""What is known of each product at the cutoff, for the figures beyond accuracy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset

__all__ = ["GROUPS", "WINSORISED", "ItemStatistics", "describe", "winsorised"]

GROUPS = ("head", "middle", "tail")
LEVELS = " > "
WIDTH = 64
"""Numbers per product that stand for its content; a catalogue of fewer different words is kept exactly."""
MOST_GENRES = 100
SEED = 20_260_101
WINSORISED = 0.995
_WORD = re.compile(r"\w\w+")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ItemStatistics:
    """What is known of each product; row i belongs to item row i of the training data.

    Winsorised: the highest 0.5% of the values of products that can be shown are taken as the next lower one,
    so that one price of thousands does not decide which model finds more revenue (Dixon 1960).

    Attributes
    ----------
    users
        How many users the training data holds, at least 1.
    information : float64, shape (items,)
        −log2 of the share of users who touched the product (weight above 0), in bits, 0 or more; one whom
        nobody touched counts as touched by one.
    group : int8, shape (items,)
        Place in GROUPS: the most touched products that together make a third of all pairs of user and product
        are the head, the next third the middle, all others the tail.
    category : int32, shape (items,)
        Code of the whole category path, an own code for none.
    genre : int32, shape (items,)
        Place in `genres`: the first level of the path that tells products apart, -1 for none.
    genres
        Names of these levels; the rarest of very many share one.
    vectors : float32, shape (items, at most WIDTH)
        Dot products are likenesses of content: 1 with itself, in expectation where the vectors are projected
        (`_vectors`). Zeros for a product without a word.
    price : float64, shape (items,)
        In the shop's currency, winsorised; NaN where unknown.
    stock : float32, shape (items,)
        Pieces that can be sold now (the catalogue keeps no history), infinity where zero stock sells or
        nobody counts; NaN where unknown.
    margin : float64, shape (items,), or None
        Price less cost price, in the shop's currency, winsorised; NaN where unknown. None: nobody looked
        costs up.
    active : bool, shape (items,)
        Whether the product may be shown.
    """

    users: int
    information: Floats
    group: npt.NDArray[np.int8]
    category: npt.NDArray[np.int32]
    genre: npt.NDArray[np.int32]
    genres: list[str]
    vectors: npt.NDArray[np.float32]
    price: Floats
    stock: npt.NDArray[np.float32]
    margin: Floats | None
    active: npt.NDArray[np.bool_]

    @property
    def items(self) -> int:
        """Number of items."""
        return int(self.group.size)


def describe(train: Dataset, costs: Floats | None = None) -> ItemStatistics:
    """The facts as of the moment of `train`."""
    features = train.item_features
    touched_by = np.asarray((train.touched > 0).sum(axis=0)).ravel()
    users = max(1, len(train.users))
    active, price = features.active, features.price.astype(np.float64)
    genre, genres = _genres(features.category, features.category_paths)
    return ItemStatistics(
        users,
        -np.log2(np.maximum(touched_by, 1) / users),
        _groups(np.where(active, touched_by, 0)),
        np.where(features.category < 0, len(features.category_paths), features.category).astype(np.int32),
        genre,
        genres,
        _vectors(train),
        winsorised(price, active),
        features.stock,
        None if costs is None else winsorised(price - costs, active),
        active,
    )


def winsorised(values: Floats, counted: npt.NDArray[np.bool_]) -> Floats:
    """Values above the 99.5th percentile of the counted ones taken as that percentile; NaN stays."""
    known = values[counted & np.isfinite(values)]
    if not known.size:
        return values
    return np.minimum(values, np.quantile(known, WINSORISED, method="lower"))


def _groups(touched_by: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    order = np.argsort(-touched_by, kind="stable")
    total = int(touched_by.sum())
    before = np.cumsum(touched_by[order]) - touched_by[order]
    group = np.empty(touched_by.size, dtype=np.int8)
    group[order] = np.minimum(before * 3 // max(1, total), 2)
    group[touched_by == 0] = 2
    return group


def _genres(category: npt.NDArray[np.int32], paths: Sequence[str]) -> tuple[npt.NDArray[np.int32], list[str]]:
    levels = [path.split(LEVELS) for path in paths]
    names: list[str] = []
    for depth in range(1, max((len(parts) for parts in levels), default=0) + 1):
        names = [LEVELS.join(parts[:depth]) for parts in levels]
        if len(set(names)) > 1:
            break
    used = np.bincount(category[category >= 0], minlength=len(paths))
    weight: dict[str, int] = {}
    for name, count in zip(names, used.tolist(), strict=True):
        weight[name] = weight.get(name, 0) + count
    # a taste is compared genre by genre: the rarest of very many share one
    kept = sorted(weight, key=lambda name: (-weight[name], name))[:MOST_GENRES]
    words = [*kept, "other"] if len(kept) < len(weight) else kept
    code = {name: i for i, name in enumerate(kept)}
    table = np.array([code.get(name, len(kept)) for name in names] + [-1], dtype=np.int32)
    return table[category], words


def _vectors(train: Dataset) -> npt.NDArray[np.float32]:
    """Unit TF-IDF vectors of words, category levels and brand, projected at random where they are long.

    Random signs keep dot products in expectation (Achlioptas 2003, "Database-friendly random projections",
    theorem 1.1); a mean over the pairs of many lists is off by far less than the single product is.
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    features = train.item_features
    code: dict[str, int] = {}
    levels = [
        [code.setdefault(f"c {part}", len(code)) for part in _levels(path)]
        for path in features.category_paths
    ]
    brands = [code.setdefault(f"b {name}", len(code)) for name in features.brand_names]
    rows: list[list[int]] = []
    for text, category, brand in zip(
        features.text, features.category.tolist(), features.brand.tolist(), strict=True
    ):
        # not a set: its order changes from process to process, and the projection with it
        distinct = dict.fromkeys(_WORD.findall(text.casefold()))
        words = [code.setdefault(word, len(code)) for word in distinct]
        if category >= 0:
            words += levels[category]
        if brand >= 0:
            words.append(brands[brand])
        rows.append(words)
    lengths = np.array([len(words) for words in rows], dtype=np.int64)
    indices = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(lengths.sum()))
    parts = (np.ones(indices.size, np.float32), indices, np.append(0, np.cumsum(lengths)))
    terms = sparse.csr_matrix(parts, shape=(len(rows), max(1, len(code))))
    if not indices.size:
        return np.zeros((len(rows), 1), dtype=np.float32)
    weighed = sparse.csr_matrix(TfidfTransformer().fit_transform(terms))
    if len(code) <= WIDTH:
        return np.asarray(weighed.toarray(), dtype=np.float32)
    signs = np.random.default_rng(SEED).integers(0, 2, size=(len(code), WIDTH), dtype=np.int8)
    spread = (2 * signs - 1).astype(np.float32) / np.float32(np.sqrt(WIDTH))
    projected: npt.NDArray[np.float32] = np.asarray(weighed.astype(np.float32) @ spread)
    return projected


def _levels(path: str) -> list[str]:
    parts = path.split(LEVELS)
    return [LEVELS.join(parts[: depth + 1]) for depth in range(len(parts))]
