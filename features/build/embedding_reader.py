"""Reads the shop's own vectors of products: unit vectors of one length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.build.column_reader import Snapshot
from features.ids import IdMap

__all__ = ["ProductEmbeddings", "read_embeddings"]

_ROWS = 2_000
"""Read at once: of the longest vectors these are 32 MB."""
# an import and a request at the same moment may both have stored a first vector
_LENGTHS = """
SELECT octet_length(vector), count(*) FROM products_db.product_embeddings
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1
"""
_VECTORS = """
SELECT product_id, vector FROM products_db.product_embeddings
WHERE octet_length(vector) = %s ORDER BY product_id
"""


@dataclass(frozen=True, eq=False)
class ProductEmbeddings:
    """The vectors of the products that have one.

    Attributes
    ----------
    products : int64, shape (n,)
        Ids in increasing order.
    vectors : float16, shape (n, numbers)
        Unit rows; zeros stay zeros.
    """

    products: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float16]

    @classmethod
    def none(cls) -> ProductEmbeddings:
        """No product has a vector."""
        return cls(np.empty(0, np.int64), np.empty((0, 0), np.float16))

    def of(self, items: IdMap) -> npt.NDArray[np.float16]:
        """float16 (items, numbers), zeros for a product without a vector; no columns where none has one."""
        rows = items.index(self.products)
        kept = rows >= 0
        if not self.vectors[kept].any():
            return np.zeros((len(items), 0), dtype=np.float16)
        found = np.zeros((len(items), self.vectors.shape[1]), dtype=np.float16)
        found[rows[kept]] = self.vectors[kept]
        return found


def read_embeddings(snapshot: Snapshot) -> ProductEmbeddings:
    """All vectors of the length that most of them have."""
    most = snapshot.connection.execute(_LENGTHS).fetchone()
    if most is None:
        return ProductEmbeddings.none()
    length, count = int(most[0]), int(most[1])
    products = np.empty(count, dtype=np.int64)
    vectors = np.empty((count, length // 4), dtype=np.float16)
    with snapshot.connection.cursor(name="embeddings", binary=True) as cursor:
        cursor.itersize = _ROWS
        cursor.execute(_VECTORS, (length,))
        start = 0
        while rows := cursor.fetchmany(_ROWS):
            part = slice(start, start + len(rows))
            products[part] = [product for product, _ in rows]
            given = np.frombuffer(b"".join(vector for _, vector in rows), dtype="<f4")
            vectors[part] = _unit(given.reshape(len(rows), -1))
            start += len(rows)
    return ProductEmbeddings(products, vectors)


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    # in float64: the square of a float32 may be too large for one
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    return unit
