"""The leading right singular vectors of a large sparse matrix, repeatable for a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

__all__ = ["ROWS_AT_ONCE", "right_singular"]

Matrix = npt.NDArray[np.float32]

ROWS_AT_ONCE = 8_192
"""Rows of the longer side whose image is in memory at once."""


def right_singular(
    matrix: sparse.csr_matrix, rank: int, *, seed: int, block: int = 128, excess: float = 1.7
) -> tuple[Matrix, Matrix]:
    """The largest singular values of `matrix`, and the right singular vectors that belong to them.

    Randomised block Krylov iteration (Musco & Musco 2015, arXiv 1504.05477, algorithm 2): the space spanned
    by Q, G Q, G² Q … for a random block Q and the Gram matrix G of the shorter side, kept orthonormal, then
    Rayleigh-Ritz within it. On the flat spectra of interactions plain subspace iteration (Halko et al. 2011)
    needs many times the work for the same accuracy; narrow blocks go deeper for the same memory.

    Parameters
    ----------
    rank
        k is the smaller of it and of the matrix's sides.
    block
        Columns of Q.
    excess
        The Krylov space holds about excess × rank dimensions; the last ones of a space are never accurate.

    Returns
    -------
    values : float32, shape (k,)
        s, falling.
    vectors : float32, shape (columns, k)
        V.
    """
    a = sparse.csr_matrix(matrix, dtype=np.float32)
    at = a.T.tocsr()
    tall = a.shape[0] > a.shape[1]
    inner, outer = (a, at) if tall else (at, a)  # outer @ inner works on the shorter side
    n = outer.shape[0]
    k = min(rank, n)
    wanted = min(n, max(int(np.ceil(excess * k)), k + block))
    if wanted == n:
        basis: Matrix = np.eye(n, dtype=np.float32)
    else:
        basis = _krylov(inner, outer, wanted, block, seed)
    values, turned = linalg.eigh(_gram_of_image(inner, basis), driver="evd", overwrite_a=True)
    values, rotation = values[::-1][:k], np.ascontiguousarray(turned[:, ::-1][:, :k], dtype=np.float32)
    singular = np.sqrt(np.maximum(values, 0.0)).astype(np.float32)
    vectors: Matrix = basis @ rotation
    del basis
    if not tall:
        vectors = inner @ vectors
        vectors *= np.divide(1.0, singular, out=np.zeros_like(singular), where=singular > 1e-6 * singular[0])
    # signs are otherwise chance: each column's largest entry is positive
    vectors *= np.where(vectors.max(axis=0) >= -vectors.min(axis=0), 1.0, -1.0).astype(np.float32)
    return singular, vectors


def _gram_of_image(inner: sparse.csr_matrix, basis: Matrix) -> npt.NDArray[np.float64]:
    """BᵀB of B = inner @ basis, of which a block of rows is made at a time, since B may be long."""
    basis = np.ascontiguousarray(basis)
    gram = np.zeros((basis.shape[1], basis.shape[1]), dtype=np.float64)
    for start in range(0, inner.shape[0], ROWS_AT_ONCE):
        seen = inner[start : start + ROWS_AT_ONCE] @ basis
        gram += seen.T @ seen
    return gram


def _krylov(inner: sparse.csr_matrix, outer: sparse.csr_matrix, wanted: int, block: int, seed: int) -> Matrix:
    n = outer.shape[0]
    # columns of a block lie together in memory (Fortran order), so that growing the basis copies nothing
    basis = np.empty((n, wanted), dtype=np.float32, order="F")
    last = _orthonormal(
        np.random.default_rng(seed).standard_normal((n, min(block, wanted)), dtype=np.float32)
    )
    filled = 0
    while True:
        take = min(last.shape[1], wanted - filled)
        basis[:, filled : filled + take] = last[:, :take]
        filled += take
        if filled == wanted:
            return basis
        known = basis[:, :filled]
        last = outer @ (inner @ np.ascontiguousarray(last))
        for _ in range(2):  # once is not enough in float32
            last = _orthonormal(last - known @ (known.T @ last))


def _orthonormal(columns: Matrix) -> Matrix:
    q, _ = linalg.qr(columns, mode="economic", overwrite_a=True, check_finite=False)
    return np.asarray(q, dtype=np.float32)
