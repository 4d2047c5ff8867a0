"""User profiles over the facets of the catalogue: explicit preferences and inferred affinities.

An inferred affinity a of a word whose share in the shop is q counts a · ln(a / q) / ln(1 / q), never below
zero: as much as was inferred where nobody else cares, nothing where the user is like everybody. (The summand
of the Kullback-Leibler divergence of the user's shares from the shop's, divided by the largest that it can
be, so that it stays within 0..1 and a plain word of the user, which counts 1, wins.) Bare shares would favour
the large categories of every user alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.affinities import shop_shares, smoothed

__all__ = ["Facet", "FacetMatrices"]

Rows = npt.NDArray[np.int64]

_MATRICES = ("has", "onto", "said")
"""What the matrices are called in artifacts."""


@dataclass(frozen=True, eq=False)
class Facet:
    """One facet: categories, brands, price bands, colours, sizes or styles.

    Attributes
    ----------
    weight
        Of the facet in a profile.
    place
        Column where its part of the catalogue vectors begins.
    has : csr float32, shape (items, words)
        Ones: which words a product has.
    onto : csr float32, shape (words, columns)
        The facet's columns in a catalogue vector, per word.
    explicit : csr float32, shape (users, words)
        Explicit preferences, zero (stored) or less for a dislike.
    """

    weight: float
    place: int
    has: sparse.csr_matrix
    onto: sparse.csr_matrix
    explicit: sparse.csr_matrix


@dataclass(frozen=True, eq=False)
class FacetMatrices:
    """All facets side by side; w counts the words of all of them, f the columns of a catalogue vector.

    Attributes
    ----------
    has : csr float32, shape (items, w)
    onto : csr float32, shape (w, f)
    explicit : csr float32, shape (users, w)
        Explicit preferences, zero (stored) for a dislike.
    shop : float64, shape (w,)
        The share of each word in its facet in the whole shop.
    facet : int64, shape (w,)
        The facet of each word.
    weights : float64, shape (facets,)
    prior
        So much behaviour (in summed weights) counts as much as the shop's shares (`features.affinities`).
    """

    has: sparse.csr_matrix
    onto: sparse.csr_matrix
    explicit: sparse.csr_matrix
    shop: npt.NDArray[np.float64]
    facet: Rows
    weights: npt.NDArray[np.float64]
    prior: float

    @classmethod
    def of(cls, facets: Sequence[Facet], liked: sparse.csr_matrix, width: int, prior: float) -> Self:
        """Put facets side by side.

        Parameters
        ----------
        liked : csr, shape (users, items)
            Summed weights of everybody.
        width
            Columns of a catalogue vector.
        prior
            As the attribute.
        """
        behaviour = liked.astype(np.float64)
        shop = [shop_shares(sparse.csr_matrix(behaviour @ each.has)) for each in facets]
        sizes = [each.has.shape[1] for each in facets]
        onto = sparse.vstack([_moved(each.onto, each.place, width) for each in facets], format="csr")
        explicit = sparse.csr_matrix(sparse.hstack([each.explicit for each in facets], format="csr"))
        explicit.data = np.maximum(explicit.data, 0.0)
        return cls(
            sparse.csr_matrix(sparse.hstack([each.has for each in facets], format="csr")),
            sparse.csr_matrix(onto),
            explicit,
            np.concatenate(shop),
            np.repeat(np.arange(len(facets)), sizes),
            np.array([each.weight for each in facets], dtype=np.float64),
            prior,
        )

    def has_explicit(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Whether the user of each row (-1: an unknown user) has an explicit preference, bool (n,)."""
        known = self._explicit(rows)
        known.eliminate_zeros()
        return np.asarray(np.diff(known.indptr) > 0)

    def inferred(self, history: sparse.csr_matrix, rows: Rows) -> sparse.csr_matrix:
        """The affinities inferred of each row, csr float32 (n, w); none for words with explicit ones."""
        weight = sparse.csr_matrix(history.astype(np.float64) @ self.has)
        spoken = self._explicit(rows)
        parts = []
        for number in range(self.weights.size):
            inside = slice(*np.searchsorted(self.facet, [number, number + 1]))
            parts.append(smoothed(sparse.csr_matrix(weight[:, inside]), self.shop[inside], self.prior))
        shares = sparse.csr_matrix(sparse.hstack(parts, format="csr"))
        shares.data = _distinctive(shares.data, self.shop[shares.indices])
        if spoken.nnz:
            spoken.data = np.ones_like(spoken.data)
            shares = sparse.csr_matrix(shares - shares.multiply(spoken))
            shares.eliminate_zeros()
        return shares

    def profiles(self, history: sparse.csr_matrix, rows: Rows) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """The explicit part and the inferred part of the users' profiles; together they are a unit row each.

        Within a facet the affinities make a unit vector, which counts by the root of the facet's weight; and
        beside facets with an explicit preference, others by W / (W + prior) of that, W the summed history.

        Parameters
        ----------
        history : csr float32, shape (n, items)
        rows : int64, shape (n,)
            Users' rows, -1 for an unknown user.

        Returns
        -------
        explicit, inferred : csr float32, shape (n, f)
        """
        explicit, inferred = self._explicit(rows), self.inferred(history, rows)
        scale = self._scale(explicit, inferred, history)
        return self._scaled(explicit, scale), self._scaled(inferred, scale)

    def shares_of(self, history: sparse.csr_matrix, row: int, vectors: sparse.csr_matrix) -> npt.NDArray[Any]:
        """What each entry of one history adds to `vectors @ inferred profile`.

        Each product's part of an affinity is its part of the behaviour behind it.

        Parameters
        ----------
        history : csr float32, shape (1, items)
        row
            The user's, -1 for an unknown user.
        vectors : csr float32, shape (m, f)

        Returns
        -------
        float64, shape (m, history.nnz)
        """
        rows = np.array([row], dtype=np.int64)
        explicit, inferred = self._explicit(rows), self.inferred(history, rows)
        scale = self._scale(explicit, inferred, history)
        weight = (history.astype(np.float64) @ self.has).toarray().ravel()
        per_weight = np.divide(
            inferred.toarray().ravel() * scale[0, self.facet],
            weight,
            out=np.zeros(weight.size),
            where=weight > 0,
        )
        speaks = (vectors @ self.onto.T).multiply(per_weight[None, :]).tocsr()
        return np.asarray((speaks @ self.has[history.indices].T).toarray() * history.data)

    def _explicit(self, rows: Rows) -> sparse.csr_matrix:
        """The explicit preferences of `rows`, csr float32 (n, w); an own copy."""
        taken = self.explicit[np.maximum(rows, 0)] if self.explicit.shape[0] else self.explicit
        lengths = np.where(rows >= 0, np.diff(taken.indptr), 0)
        keep = np.repeat(rows >= 0, np.diff(taken.indptr))
        parts = (taken.data[keep], taken.indices[keep], np.concatenate([[0], np.cumsum(lengths)]))
        return sparse.csr_matrix(parts, shape=(rows.size, self.explicit.shape[1]))

    def _scale(
        self, explicit: sparse.csr_matrix, inferred: sparse.csr_matrix, history: sparse.csr_matrix
    ) -> npt.NDArray[np.float64]:
        """By what each facet's affinities are multiplied, float64 (n, facets)."""
        merged = sparse.csr_matrix(explicit + inferred)
        lengths, spoken = np.zeros((2, merged.shape[0], self.weights.size))
        for number in range(self.weights.size):
            inside = slice(*np.searchsorted(self.facet, [number, number + 1]))
            part = sparse.csr_matrix(merged[:, inside] @ self.onto[inside])
            lengths[:, number] = np.sqrt(np.asarray(part.multiply(part).sum(axis=1)).ravel())
            spoken[:, number] = np.diff(explicit[:, inside].indptr) > 0
        done = np.asarray(history.sum(axis=1), dtype=np.float64).reshape(-1, 1)
        counts = np.where(spoken > 0, 1.0, done / (done + self.prior)) * np.sqrt(self.weights)
        whole = np.sqrt(((lengths > 0) * counts**2).sum(axis=1, keepdims=True))
        counts /= np.maximum(whole, np.finfo(np.float64).tiny)
        return np.asarray(counts * np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0))

    def _scaled(self, merged: sparse.csr_matrix, scale: npt.NDArray[np.float64]) -> sparse.csr_matrix:
        owner = np.repeat(np.arange(merged.shape[0]), np.diff(merged.indptr))
        data = (merged.data * scale[owner, self.facet[merged.indices]]).astype(np.float32)
        words = sparse.csr_matrix((data, merged.indices, merged.indptr), shape=merged.shape)
        return sparse.csr_matrix(words @ self.onto)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Named arrays for the artifact."""
        found: dict[str, npt.NDArray[Any]] = {"shop": self.shop, "facet": self.facet, "weights": self.weights}
        matrices = (self.has, self.onto, self.explicit)
        for name, matrix in zip(_MATRICES, matrices, strict=True):
            found |= matrix_arrays(name, matrix)
        return found

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]], prior: float) -> Self:
        """Take back what `arrays` gave."""
        has, onto, explicit = (matrix_of(name, arrays) for name in _MATRICES)
        return cls(has, onto, explicit, arrays["shop"], arrays["facet"], arrays["weights"], prior)


def _distinctive(share: npt.NDArray[np.float32], shop: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """a · ln(a / q) / ln(1 / q) of the module, float32."""
    q = np.clip(shop, 1e-12, 1.0 - 1e-6)
    divergence = share.astype(np.float64) * np.log(share / q) / -np.log(q)
    return np.maximum(divergence, 0.0).astype(np.float32)


def matrix_arrays(name: str, matrix: sparse.csr_matrix) -> dict[str, npt.NDArray[Any]]:
    """A csr matrix as arrays whose names begin with `name`."""
    return {
        f"{name}_indptr": matrix.indptr.astype(np.int64),
        f"{name}_indices": matrix.indices.astype(np.int32),
        f"{name}_data": matrix.data.astype(np.float32),
        f"{name}_shape": np.array(matrix.shape, dtype=np.int64),
    }


def matrix_of(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> sparse.csr_matrix:
    """What `matrix_arrays` took apart."""
    parts = tuple(arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix(parts, shape=tuple(arrays[f"{name}_shape"].tolist()))


def _moved(onto: sparse.csr_matrix, place: int, width: int) -> sparse.csr_matrix:
    moved = (onto.data, onto.indices + np.int32(place), onto.indptr)
    return sparse.csr_matrix(moved, shape=(onto.shape[0], width))
