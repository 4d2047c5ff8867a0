"""The shop's own vectors of its products, such as those of a model of texts or pictures, as stored bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys.domains.products.tables import ProductEmbedding
from recsys.errors import Invalid

__all__ = ["MOST_NUMBERS", "NUMBER_BYTES", "store"]

MOST_NUMBERS = 4_096
"""Of one vector."""
NUMBER_BYTES = 4
"""A vector is stored as float32, little-endian."""


def store(session: Session, product_id: int, vector: Sequence[float] | None) -> bool:
    """Store the vector of a product, or remove it; return whether that changed anything.

    Parameters
    ----------
    vector
        The numbers; None removes it.

    Raises
    ------
    Invalid
        It has another length than the other products' vectors, or a number that is too large for float32.
    """
    row = session.get(ProductEmbedding, product_id)
    if vector is None:
        if row is not None:
            session.delete(row)
        return row is not None
    others = session.scalar(
        select(func.octet_length(ProductEmbedding.vector) / NUMBER_BYTES)
        .where(ProductEmbedding.product_id != product_id)
        .limit(1)
    )
    if others is not None and others != len(vector):
        raise Invalid(
            f"embedding has {len(vector)} numbers, those of other products have {others}; "
            "all need the same length."
        )
    try:
        packed = struct.pack(f"<{len(vector)}f", *vector)
    except OverflowError as error:
        raise Invalid("embedding holds a number that is too large for float32.") from error
    if row is None:
        session.add(ProductEmbedding(product_id=product_id, vector=packed))
    elif row.vector == packed:
        return False
    else:
        row.vector = packed
    session.flush()
    return True
