"""Catalogue vectors: the parts of products and of profiles as sparse rows, side by side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

__all__ = [
    "band_ranges",
    "bands_of",
    "embedding_vectors",
    "empty",
    "every_band",
    "heaviest",
    "identity",
    "joined",
    "one_hot",
    "path_levels",
    "price_edges",
    "text_vectors",
    "unit_rows",
]

LEVELS = " > "
CENTRED_AT = 100.0
"""Products with a vector at which half of their mean is taken off."""
_BLOCK = 4_096


def joined(blocks: list[tuple[float, sparse.csr_matrix]]) -> sparse.csr_matrix:
    """The parts side by side, each a unit row times the root of its weight; the whole is one again."""
    parts = [unit_rows(block.astype(np.float32)) * np.float32(np.sqrt(weight)) for weight, block in blocks]
    joined = sparse.csr_matrix(sparse.hstack(parts, format="csr", dtype=np.float32))
    joined.eliminate_zeros()
    joined.sort_indices()
    return sparse.csr_matrix(unit_rows(joined))


def unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows divided by their Euclidean lengths; an empty row stays empty."""
    squares = np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float64).ravel()
    scale = np.divide(1.0, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)
    scaled = matrix.copy()
    scaled.data = (scaled.data * np.repeat(scale, np.diff(scaled.indptr))).astype(np.float32)
    return scaled


def empty(rows: int, columns: int) -> sparse.csr_matrix:
    """A matrix without entries; csr float32 (rows, columns)."""
    nothing = (np.empty(0, np.float32), np.empty(0, np.int32), np.zeros(rows + 1, np.int32))
    return sparse.csr_matrix(nothing, shape=(rows, columns))


def one_hot(codes: npt.NDArray[np.integer], width: int) -> sparse.csr_matrix:
    """Row i has a one in column codes[i], nothing where that is -1; csr float32 (n, width)."""
    known = codes >= 0
    indptr = np.concatenate([[0], np.cumsum(known)])
    ones = np.ones(int(indptr[-1]), dtype=np.float32)
    return sparse.csr_matrix((ones, codes[known].astype(np.int32), indptr), shape=(codes.size, width))


def path_levels(paths: list[str]) -> sparse.csr_matrix:
    """For each path "A > B > C" ones at "A", "A > B" and "A > B > C"; csr float32 (paths, levels)."""
    prefixes = [
        [LEVELS.join(path.split(LEVELS)[: n + 1]) for n in range(path.count(LEVELS) + 1)] for path in paths
    ]
    column = {name: i for i, name in enumerate(sorted({name for names in prefixes for name in names}))}
    owner = [i for i, names in enumerate(prefixes) for _ in names]
    levels = [column[name] for names in prefixes for name in names]
    ones = np.ones(len(owner), dtype=np.float32)
    return sparse.csr_matrix((ones, (owner, levels)), shape=(len(paths), len(column)))


def price_edges(price: npt.NDArray[np.float32], bands: int) -> npt.NDArray[np.float32]:
    """The bands - 1 prices between bands of equally many products; empty where no price is known."""
    known = price[np.isfinite(price)]
    inner = np.arange(1, bands) / bands
    return np.quantile(known, inner).astype(np.float32) if known.size else np.empty(0, dtype=np.float32)


def bands_of(price: npt.NDArray[np.float32], edges: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The band of each price, -1 where it is unknown."""
    return np.where(np.isfinite(price), np.searchsorted(edges, price, side="right"), -1)


def band_ranges(ranges: npt.NDArray[np.float32], edges: npt.NDArray[np.float32]) -> sparse.csr_matrix:
    """Ones at the bands that each user's price range touches; an open end reaches to the last band.

    Parameters
    ----------
    ranges : float32, shape (users, 2)
        NaN where an end is open; both open: an empty row.
    edges : float32, shape (bands - 1,)
        As `price_edges` gives them.

    Returns
    -------
    csr float32, shape (users, bands)
    """
    bands = edges.size + 1
    low = np.where(np.isnan(ranges[:, 0]), 0, np.searchsorted(edges, ranges[:, 0], side="right"))
    high = np.where(np.isnan(ranges[:, 1]), bands - 1, np.searchsorted(edges, ranges[:, 1], side="right"))
    sizes = np.where(np.isnan(ranges).all(axis=1), 0, np.maximum(high - low + 1, 0))
    indptr = np.concatenate(([0], np.cumsum(sizes)))
    columns = np.arange(indptr[-1]) - np.repeat(indptr[:-1], sizes) + np.repeat(low, sizes)
    return sparse.csr_matrix((np.ones(columns.size, np.float32), columns, indptr), shape=(len(ranges), bands))


def every_band(ranges: sparse.csr_matrix) -> sparse.csr_matrix:
    """The same with stored zeros at the other bands of users who have a range: those are explicit, too."""
    spoken = np.diff(ranges.indptr) > 0
    bands = ranges.shape[1]
    indptr = np.concatenate([[0], np.cumsum(np.where(spoken, bands, 0))])
    parts = (ranges[spoken].toarray().ravel(), np.tile(np.arange(bands), int(spoken.sum())), indptr)
    return sparse.csr_matrix(parts, shape=ranges.shape)


def identity(width: int) -> sparse.csr_matrix:
    """Ones on the diagonal, csr float32."""
    return one_hot(np.arange(width), width)


def heaviest(matrix: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
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


def text_vectors(texts: list[str], terms: int, terms_per_item: int) -> sparse.csr_matrix:
    """TF-IDF of the most frequent `terms` words, the heaviest `terms_per_item` of each; csr float32."""
    if not any(any(letter.isalnum() for letter in text) for text in texts):
        return empty(len(texts), 0)
    # with what it imports 75 MB, which only a fit needs and not who serves
    from sklearn.feature_extraction.text import TfidfVectorizer

    # a word of one letter or digit may be a size: keep it
    vectoriser = TfidfVectorizer(
        token_pattern=r"(?u)\w+", sublinear_tf=True, max_features=terms, dtype=np.float32
    )
    return heaviest(vectoriser.fit_transform(texts).tocsr(), terms_per_item)


def embedding_vectors(embeddings: npt.NDArray[np.float16], factors: int) -> sparse.csr_matrix:
    """The shop's own vectors, less their mean and in at most `factors` numbers.

    Vectors of a model of texts or pictures all point the same way to a part, which makes any two look alike:
    their mean is taken off (Mu & Viswanath 2018, "All-but-the-top", section 2), of few products only a part,
    n / (n + 100), since of few it is what they have in common. Longer vectors are brought to their first
    principal components.

    Parameters
    ----------
    embeddings : float16, shape (items, width)

    Returns
    -------
    csr float32, shape (items, numbers)
    """
    given = np.flatnonzero(embeddings.any(axis=1))
    width = embeddings.shape[1]
    if given.size == 0:
        return empty(embeddings.shape[0], 0)
    blocks = np.array_split(given, -(-given.size // _BLOCK))
    total = sum((embeddings[rows].sum(axis=0, dtype=np.float64) for rows in blocks), np.zeros(width))
    mean = (total / (given.size + CENTRED_AT)).astype(np.float32)
    basis = np.eye(width, dtype=np.float32)
    if width > factors:
        gram = np.zeros((width, width))
        for rows in blocks:
            centred = (embeddings[rows] - mean).astype(np.float64)
            gram += centred.T @ centred
        _, directions = linalg.eigh(gram, subset_by_index=[width - factors, width - 1])
        basis = np.ascontiguousarray(directions[:, ::-1], dtype=np.float32)
    dense = np.zeros((embeddings.shape[0], basis.shape[1]), dtype=np.float32)
    for rows in blocks:
        dense[rows] = (embeddings[rows] - mean) @ basis
    return sparse.csr_matrix(dense)
