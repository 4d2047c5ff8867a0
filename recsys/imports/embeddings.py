"""The column `embedding`: cells as vectors, all of one length, and as the bytes that are stored."""

from __future__ import annotations

import numpy as np
import polars as pl

from recsys.domains.products.embeddings import MOST_NUMBERS, NUMBER_BYTES
from recsys.imports.loading.staging import Connection
from recsys.imports.readers.validation import Check

__all__ = ["COLUMN", "EmbeddingLength", "brief", "packed", "vectors"]

COLUMN = "embedding"
_SHOWN = 3
_FORM = "numbers such as [0.1, -0.2] or 0.1 -0.2"


class EmbeddingLength:
    """The length that each vector of a file must have: that of stored ones, else of the file's first one."""

    def __init__(self, numbers: int | None = None) -> None:
        self._numbers = numbers
        self._like = "those that are stored; an import with the column empty removes them"

    @classmethod
    def stored(cls, connection: Connection) -> EmbeddingLength:
        """The length of the vectors that the shop has."""
        row = connection.execute(
            "SELECT octet_length(vector) / %s FROM products_db.product_embeddings LIMIT 1", (NUMBER_BYTES,)
        ).fetchone()
        return cls(None if row is None else int(row[0]))

    def checks(self, rows: pl.DataFrame, given: str, parsed: str) -> list[Check]:
        """What the column `parsed` (of `vectors`) must be; `given` is the cell as it stands in the file."""
        if rows[given].null_count() == rows.height:
            return []
        length = rows[parsed].list.len()
        finite = pl.col(parsed).list.eval(pl.element().is_finite()).list.all()
        sound = rows.select((pl.col(parsed).list.len() <= MOST_NUMBERS) & finite).to_series()
        if self._numbers is None and (first := length.filter(sound).head(1)).len():
            self._numbers = int(first[0])
            self._like = "the first one of the file"
        checks: list[Check] = [
            (COLUMN, f"embedding is not {_FORM}", pl.col(given).is_not_null() & pl.col(parsed).is_null()),
            (COLUMN, "embedding has a number that is not finite", ~finite),
            (
                COLUMN,
                f"embedding has more than {MOST_NUMBERS} numbers",
                pl.col(parsed).list.len() > MOST_NUMBERS,
            ),
        ]
        if self._numbers is not None:
            reason = f"embedding does not have {self._numbers} numbers as {self._like}"
            checks.append((COLUMN, reason, pl.col(parsed).list.len() != self._numbers))
        return checks


def vectors(cells: pl.Series) -> pl.Series:
    """List of Float32; null where the text is no list of numbers.

    The numbers stand in a JSON list, or are separated by blanks, semicolons or bars. A comma counts only
    inside brackets: elsewhere it may be a decimal mark.
    """
    text = pl.col("text").str.strip_chars()
    is_list = text.str.starts_with("[") & text.str.ends_with("]")
    inner = pl.when(is_list).then(text.str.slice(1, text.str.len_chars() - 2).str.replace_all(",", " "))
    parts = inner.otherwise(text).str.replace_all(r"[\s;|]+", " ").str.strip_chars().str.split(" ")
    numbers = parts.list.eval(pl.element().cast(pl.Float32, strict=False))
    whole = numbers.list.eval(pl.element().is_not_null()).list.all() & (numbers.list.len() > 0)
    frame = pl.DataFrame({"text": cells.cast(pl.String)})
    return frame.select(pl.when(whole).then(numbers).cast(pl.List(pl.Float32))).to_series()


def packed(values: pl.Series) -> pl.Series:
    r"""The vectors, all of one length, as PostgreSQL writes bytes (`\x…`): float32, little-endian."""
    given = values.is_not_null()
    if not given.any():
        return pl.Series([None] * len(values), dtype=pl.String)
    numbers = values.filter(given).explode().to_numpy().astype("<f4", copy=False)
    lines = np.ascontiguousarray(numbers.reshape(int(given.sum()), -1))
    texts = pl.Series(["\\x" + line.tobytes().hex() for line in lines], dtype=pl.String)
    return pl.Series([None] * len(values), dtype=pl.String).scatter(given.arg_true(), texts)


def brief(column: str) -> pl.Expr:
    """The vectors of a column as short text, for a person."""
    first = pl.col(column).list.head(_SHOWN).list.eval(pl.element().cast(pl.String)).list.join(" ")
    length = pl.col(column).list.len()
    return pl.format("{} numbers: {} …", length, first).alias(column)
