"""Nearest neighbours between items: people who took this also took that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from implicit.nearest_neighbours import all_pairs_knn, bm25_weight, normalize, tfidf_weight
from scipy import sparse

from features.dataset import Dataset
from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.shared.validation import check_choice, check_float, check_int

__all__ = ["ItemKNN", "ItemKNNParameters"]

WEIGHTINGS = ("cosine", "tfidf", "bm25")


@dataclass(frozen=True)
class ItemKNNParameters:
    """Parameters of `ItemKNN`.

    Parameters
    ----------
    weighting : {"cosine", "tfidf", "bm25"}
        How the columns of the user-item matrix are weighed before they are compared.
    neighbours
        How many nearest items are kept for each item, itself included.
    k1, b
        Saturation and length normalisation of BM25 (Robertson & Zaragoza 2009, "The Probabilistic Relevance
        Framework: BM25 and Beyond", section 3.4); the other weightings ignore them.
    """

    weighting: str = "bm25"
    neighbours: int = 100
    k1: float = 1.2
    b: float = 0.2

    def __post_init__(self) -> None:
        check_choice(self, "weighting", WEIGHTINGS)
        check_int(self, "neighbours", 1, 5_000)
        check_float(self, "k1", 0.0, 1_000.0, above_low=True)
        check_float(self, "b", 0.0, 1.0)


class ItemKNN(Recommender):
    """score(u, j) = sum over the history of u of weight(i) × similarity(i, j), j among the neighbours of i.

    Similarity is the dot product of weighted item columns (Sarwar et al. 2001, "Item-based collaborative
    filtering recommendation algorithms", section 3), computed and cut to the nearest by `implicit`.
    An item is its own neighbour, so what a user takes often ranks high unless it is excluded.
    """

    algorithm: ClassVar[str] = "item_knn"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = ItemKNNParameters
    parameters: ItemKNNParameters

    similarity_: sparse.csr_matrix
    """csr float32 (items, items), positive: row i holds the nearest neighbours of item i."""

    def _fit(self, dataset: Dataset) -> None:
        weighted = self._weighted(dataset.matrix)
        nearest = all_pairs_knn(weighted.T.tocsr(), self.parameters.neighbours, show_progress=False).tocsr()
        # places that found no neighbour come back as zeros at (0, 0)
        nearest.eliminate_zeros()
        nearest.sort_indices()
        self.similarity_ = nearest.astype(np.float32)

    def _weighted(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """The matrix turned (items, users) and weighed, float64; a row without weight is empty."""
        counts = sparse.csr_matrix(matrix.T, dtype=np.float64)
        if self.parameters.weighting == "bm25":
            return sparse.csr_matrix(bm25_weight(counts, self.parameters.k1, self.parameters.b))
        if self.parameters.weighting == "tfidf":
            counts = sparse.csr_matrix(tfidf_weight(counts))
            # a user with all items but one has an idf of zero, and a row of zeros has no direction
            counts.eliminate_zeros()
        return sparse.csr_matrix(normalize(counts))

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        _fill(history @ self.similarity_, out)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        _fill(self.similarity_[items], out)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        likeness = self.similarity_[history.indices][:, items].toarray()
        parts = likeness.T * history.data[None, :]
        return parts.astype(np.float32), np.zeros(items.size, dtype=np.float32)

    def _arrays(self) -> Arrays:
        return {
            "similarity_indptr": self.similarity_.indptr.astype(np.int64),
            "similarity_indices": self.similarity_.indices.astype(np.int32),
            "similarity_data": self.similarity_.data,
        }

    def _restore(self, arrays: Arrays) -> None:
        parts = (arrays["similarity_data"], arrays["similarity_indices"], arrays["similarity_indptr"])
        self.similarity_ = sparse.csr_matrix(parts, shape=(len(self.items_), len(self.items_)))


def _fill(found: sparse.csr_matrix, out: Scores) -> None:
    out[:] = -np.inf
    owner = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
    out[owner, found.indices] = found.data
