"""The id of an event: the sender's own, or one made of what happened, the same on every import."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import polars as pl

from recsys.domains.recommendations.interactions.ingest import event_uuid
from recsys.imports.repeat_counter import Occurrences

__all__ = ["content_names", "event_ids", "uuids"]

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:recsys:imported-interaction").bytes
_UNIT = "\x1f"
_UUID = r"^[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$"
_CONTENT = ("user", "product", "interaction_type", "created_at", "interaction_value", "session_id")


def uuids(names: Iterable[str]) -> pl.Series:
    """The name-based UUID (RFC 9562 version 5) of each name, as 32 hexadecimal digits."""
    sha1, namespace = hashlib.sha1, _NAMESPACE
    digests = pl.Series([sha1(namespace + name.encode()).hexdigest() for name in names], dtype=pl.String)
    # the version goes to digit 13, the variant to the two high bits of digit 17
    variant = digests.str.slice(16, 1).replace_strict(
        list("0123456789abcdef"), list("89ab89ab89ab89ab"), return_dtype=pl.String
    )
    return pl.select(
        pl.concat_str(
            digests.str.slice(0, 12),
            pl.lit("5"),
            digests.str.slice(13, 3),
            variant,
            digests.str.slice(17, 15),
        )
    ).to_series()


def content_names(frame: pl.DataFrame, occurrences: Occurrences) -> pl.Series:
    """What happened, as one text per row, numbered among the identical rows of the same file.

    Parameters
    ----------
    frame
        user, product, interaction_type, created_at (Datetime; null without times), interaction_value
        (Float64) and session_id.
    occurrences
        Counts the rows of the file that came before.
    """
    name = frame.select(
        pl.concat_str(
            pl.col("user").fill_null(""),
            pl.col("product"),
            pl.col("interaction_type"),
            pl.col("created_at").dt.epoch("us").cast(pl.String).fill_null(""),
            (pl.col("interaction_value") * 100).round().cast(pl.Int64).cast(pl.String).fill_null(""),
            pl.col("session_id").fill_null(""),
            separator=_UNIT,
        )
    ).to_series()
    number = occurrences.number(name.hash(seed=0).to_numpy().astype(np.uint64, copy=False))
    return pl.select(pl.concat_str(name, pl.Series(number), separator=_UNIT)).to_series()


def event_ids(frame: pl.DataFrame, occurrences: Occurrences) -> pl.Series:
    """One UUID (as text) per row: from `event_id` where given, as the API reads it, else from the content."""
    if "event_id" not in frame.columns or frame["event_id"].is_null().all():
        return uuids(content_names(frame, occurrences))
    given = frame["event_id"]
    made = pl.Series([None] * frame.height, dtype=pl.String)
    without = given.is_null().arg_true()
    if without.len():
        made = made.scatter(without, uuids(content_names(frame[without], occurrences)))
    foreign = (given.is_not_null() & ~given.str.contains(_UUID).fill_null(False)).arg_true()
    if foreign.len():
        made = made.scatter(foreign, pl.Series([str(event_uuid(text)) for text in given.gather(foreign)]))
    return made.fill_null(given)
