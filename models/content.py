"""Products like those the user took, by what the catalogue says of them: text, category, brand, price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from features.dataset import Dataset, Preferences
from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.parameters import check_float, check_int
from recsys.errors import Invalid

__all__ = ["ContentBased", "ContentBasedParameters"]

LEVELS = " > "


@dataclass(frozen=True)
class ContentBasedParameters:
    """text, category, brand, price : weight of each part in the likeness of two products; 0 leaves it out.
    terms : at most so many different words are learned, the most frequent ones.
    terms_per_item : so many of an item's words are kept, the heaviest; bounds memory and time.
    price_bands : into how many bands of equally many products prices are cut.
    preference : share of what the user said (categories, brands, price range) in a profile; the rest is
        what the user did.
    """

    text: float = 1.0
    category: float = 1.0
    brand: float = 0.5
    price: float = 0.25
    terms: int = 50_000
    terms_per_item: int = 24
    price_bands: int = 5
    preference: float = 0.3

    def __post_init__(self) -> None:
        for name in ("text", "category", "brand", "price"):
            check_float(self, name, 0.0, 1_000.0)
        check_int(self, "terms", 1, 10_000_000)
        check_int(self, "terms_per_item", 1, 10_000)
        check_int(self, "price_bands", 1, 1_000)
        check_float(self, "preference", 0.0, 1.0)
        if self.text + self.category + self.brand + self.price == 0:
            raise Invalid(
                "parameters text, category, brand and price of ContentBased are all 0; raise one of them"
            )


class ContentBased(Recommender):
    """score(u, i) = v_i · ((1 − p) · unit(sum over the history of weight(j) × v_j) + p · unit(said by u)).

    v_i is the unit vector of the item's parts (Lops, de Gemmis & Semeraro 2011, "Content-based recommender
    systems", section 3.3): TF-IDF of its text, one entry per level of its category path, its brand, its price
    band. Each part is a unit vector times the root of its weight, so the likeness of two complete products is
    the weighted mean of the likenesses of their parts. Someone who said nothing has no second term and
    someone who did nothing no first. Products that share nothing with the profile are not shown.
    """

    algorithm: ClassVar[str] = "content"
    kind: ClassVar[ModelKind] = ModelKind.CONTENT
    Parameters = ContentBasedParameters
    parameters: ContentBasedParameters

    vectors_: sparse.csr_matrix
    """csr float32 (items, features): unit rows; an item of which nothing is known has an empty one."""
    said_: sparse.csr_matrix
    """csr float32 (users, features): unit rows of what users said, times its share in their profile."""

    def _fit(self, dataset: Dataset) -> None:
        chosen, features = self.parameters, dataset.item_features
        paths = _path_levels(features.category_paths)
        edges = _price_edges(features.price, chosen.price_bands)
        blocks = [
            (chosen.text, self._text(features.text)),
            (chosen.category, _one_hot_rows(features.category, paths)),
            (chosen.brand, _one_hot(features.brand, len(features.brand_names))),
            (chosen.price, _one_hot(_bands(features.price, edges), edges.size + 1)),
        ]
        self.vectors_ = _joined(blocks)
        self.said_ = self._said(dataset.preferences, blocks, paths, edges)

    def _text(self, texts: list[str]) -> sparse.csr_matrix:
        if not any(any(letter.isalnum() for letter in text) for text in texts):
            return _empty(len(texts), 0)
        # a word of one letter or digit may be a size: keep it
        vectoriser = TfidfVectorizer(
            token_pattern=r"(?u)\w+", sublinear_tf=True, max_features=self.parameters.terms, dtype=np.float32
        )
        return _heaviest(vectoriser.fit_transform(texts).tocsr(), self.parameters.terms_per_item)

    def _said(
        self,
        preferences: Preferences,
        blocks: list[tuple[float, sparse.csr_matrix]],
        paths: sparse.csr_matrix,
        edges: npt.NDArray[np.float32],
    ) -> sparse.csr_matrix:
        users = preferences.price.shape[0]
        said = _joined(
            [
                (self.parameters.text, _empty(users, blocks[0][1].shape[1])),
                (self.parameters.category, sparse.csr_matrix(preferences.categories @ paths)),
                (self.parameters.brand, preferences.brands),
                (self.parameters.price, _band_ranges(preferences.price, edges)),
            ]
        )
        # disliked categories and brands must not make a profile point away from all products
        said.data = np.maximum(said.data, 0.0)
        said.eliminate_zeros()
        return sparse.csr_matrix(_unit_rows(said) * np.float32(self.parameters.preference))

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        profile = (self._done(history, rows) + self._stated(rows)).toarray()
        # catalogue × profiles runs over each stored number once for all users of the block
        out[:] = np.asarray(self.vectors_ @ np.ascontiguousarray(profile.T)).T
        out[out <= 0] = -np.inf

    def _stated(self, rows: Rows) -> sparse.csr_matrix:
        known = sparse.csr_matrix(
            ((rows >= 0).astype(np.float32), np.maximum(rows, 0), np.arange(rows.size + 1)),
            shape=(rows.size, self.said_.shape[0]),
        )
        return sparse.csr_matrix(known @ self.said_)

    def _done(self, history: sparse.csr_matrix, rows: Rows) -> sparse.csr_matrix:
        """Profiles of what users did, csr float32 (n, features), already times their share."""
        profile = sparse.csr_matrix(history @ self.vectors_)
        return sparse.csr_matrix(sparse.diags_array(self._scale(profile, rows)) @ profile)

    def _scale(self, profile: sparse.csr_matrix, rows: Rows) -> npt.NDArray[np.float32]:
        """What a summed profile is multiplied by: its share divided by its length."""
        lengths = np.sqrt(np.asarray(profile.multiply(profile).sum(axis=1)).ravel())
        told = np.diff(self._stated(rows).indptr) > 0
        share = np.where(told, 1.0 - self.parameters.preference, 1.0)
        scale = np.divide(share, lengths, out=np.zeros_like(share), where=lengths > 0)
        return np.asarray(scale, dtype=np.float32)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        """Cosine of the item vectors."""
        out[:] = (self.vectors_ @ self.vectors_[items].toarray().T).T
        out[out <= 0] = -np.inf

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        rows = np.array([row], dtype=np.int64)
        scale = self._scale(sparse.csr_matrix(history @ self.vectors_), rows)
        likeness = (self.vectors_[items] @ self.vectors_[history.indices].T).toarray()
        baseline = (self.vectors_[items] @ self._stated(rows).T).toarray().ravel()
        return (likeness * history.data * scale).astype(np.float32), baseline.astype(np.float32)

    def _arrays(self) -> Arrays:
        arrays: Arrays = {}
        for name, matrix in (("vectors", self.vectors_), ("said", self.said_)):
            arrays |= {
                f"{name}_indptr": matrix.indptr.astype(np.int64),
                f"{name}_indices": matrix.indices.astype(np.int32),
                f"{name}_data": matrix.data.astype(np.float32),
                f"{name}_shape": np.array(matrix.shape, dtype=np.int64),
            }
        return arrays

    def _restore(self, arrays: Arrays) -> None:
        self.vectors_, self.said_ = (
            sparse.csr_matrix(
                (arrays[f"{name}_data"], arrays[f"{name}_indices"], arrays[f"{name}_indptr"]),
                shape=tuple(arrays[f"{name}_shape"].tolist()),
            )
            for name in ("vectors", "said")
        )


def _joined(blocks: list[tuple[float, sparse.csr_matrix]]) -> sparse.csr_matrix:
    """The parts side by side, each a unit row times the root of its weight; the whole is one again."""
    parts = [_unit_rows(block.astype(np.float32)) * np.float32(np.sqrt(weight)) for weight, block in blocks]
    joined = sparse.csr_matrix(sparse.hstack(parts, format="csr", dtype=np.float32))
    joined.eliminate_zeros()
    joined.sort_indices()
    return sparse.csr_matrix(_unit_rows(joined))


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows divided by their Euclidean lengths; an empty row stays empty."""
    squares = np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float64).ravel()
    scale = np.divide(1.0, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)
    scaled = matrix.copy()
    scaled.data = (scaled.data * np.repeat(scale, np.diff(scaled.indptr))).astype(np.float32)
    return scaled


def _empty(rows: int, columns: int) -> sparse.csr_matrix:
    nothing = (np.empty(0, np.float32), np.empty(0, np.int32), np.zeros(rows + 1, np.int32))
    return sparse.csr_matrix(nothing, shape=(rows, columns))


def _one_hot(codes: npt.NDArray[np.integer], width: int) -> sparse.csr_matrix:
    """Row i has a one in column codes[i], nothing where that is -1; csr float32 (n, width)."""
    return _one_hot_rows(codes, sparse.csr_matrix(sparse.eye_array(width, dtype=np.float32)))


def _one_hot_rows(codes: npt.NDArray[np.integer], rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """Row i is rows[codes[i]], empty where the code is -1."""
    owner = np.flatnonzero(codes >= 0)
    chosen = sparse.csr_matrix(
        (np.ones(owner.size, dtype=np.float32), (owner, codes[owner])), shape=(codes.size, rows.shape[0])
    )
    return sparse.csr_matrix(chosen @ rows)


def _path_levels(paths: list[str]) -> sparse.csr_matrix:
    """For each path "A > B > C" ones at "A", "A > B" and "A > B > C"; csr float32 (paths, levels)."""
    prefixes = [
        [LEVELS.join(path.split(LEVELS)[: n + 1]) for n in range(path.count(LEVELS) + 1)] for path in paths
    ]
    column = {name: i for i, name in enumerate(sorted({name for names in prefixes for name in names}))}
    owner = [i for i, names in enumerate(prefixes) for _ in names]
    levels = [column[name] for names in prefixes for name in names]
    ones = np.ones(len(owner), dtype=np.float32)
    return sparse.csr_matrix((ones, (owner, levels)), shape=(len(paths), len(column)))


def _price_edges(price: npt.NDArray[np.float32], bands: int) -> npt.NDArray[np.float32]:
    """The bands - 1 prices between bands of equally many products; empty where no price is known."""
    known = price[np.isfinite(price)]
    inner = np.arange(1, bands) / bands
    return np.quantile(known, inner).astype(np.float32) if known.size else np.empty(0, dtype=np.float32)


def _bands(price: npt.NDArray[np.float32], edges: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The band of each price, -1 where it is unknown."""
    return np.where(np.isfinite(price), np.searchsorted(edges, price, side="right"), -1)


def _band_ranges(ranges: npt.NDArray[np.float32], edges: npt.NDArray[np.float32]) -> sparse.csr_matrix:
    """Ones at the bands that each user's price range touches; an open end reaches to the last band.

    ranges : float32 (users, 2), NaN where an end is open; both open: an empty row.
    """
    bands = edges.size + 1
    low = np.where(np.isnan(ranges[:, 0]), 0, np.searchsorted(edges, ranges[:, 0], side="right"))
    high = np.where(np.isnan(ranges[:, 1]), bands - 1, np.searchsorted(edges, ranges[:, 1], side="right"))
    sizes = np.where(np.isnan(ranges).all(axis=1), 0, np.maximum(high - low + 1, 0))
    indptr = np.concatenate(([0], np.cumsum(sizes)))
    columns = np.arange(indptr[-1]) - np.repeat(indptr[:-1], sizes) + np.repeat(low, sizes)
    return sparse.csr_matrix((np.ones(columns.size, np.float32), columns, indptr), shape=(len(ranges), bands))


def _heaviest(matrix: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """The `count` largest entries of each row; ties go to the lower column."""
    matrix.sort_indices()
    sizes = np.diff(matrix.indptr)
    if matrix.nnz == 0 or int(sizes.max()) <= count:
        return matrix
    owner = np.repeat(np.arange(matrix.shape[0]), sizes)
    order = np.lexsort((matrix.indices, -matrix.data, owner))
    rank = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], sizes)
    kept = np.sort(order[rank < count])
    indptr = np.concatenate(([0], np.cumsum(np.minimum(sizes, count))))
    return sparse.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)
