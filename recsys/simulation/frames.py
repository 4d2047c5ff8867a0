"""The users and interactions of a simulated shop as frames with the columns that imports take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.simulation.catalogue import ROWS, product_skus, usernames
from recsys.simulation.sessions import BlockInteractions
from recsys.simulation.truth import ShopTruth

__all__ = ["interaction_frame", "user_frame"]

_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
# where the 32 digits of a UUID lie among its 36 characters
_PLACES = np.delete(np.arange(36), [8, 13, 18, 23])


def user_frame(truth: ShopTruth, block: BlockInteractions) -> pl.DataFrame:
    """The users of the block: user, full_name, created_at."""
    numbers = block.first_user + np.arange(block.users)
    names = usernames(numbers)
    return pl.DataFrame(
        {
            "user": names,
            "full_name": pl.select(pl.lit("User ") + pl.Series(numbers + 1).cast(pl.String)).to_series(),
            "created_at": _moments(truth, block.arrival),
        }
    )


def interaction_frame(truth: ShopTruth, block: BlockInteractions) -> pl.DataFrame:
    """The interactions of the block, in the order of time, with ids that are the same in each drawing."""
    seed, number = truth.parameters.seed, block.first_user
    draw = np.random.default_rng([seed, ROWS, 1, number])
    visits = pl.Series(block.visit).cast(pl.String)
    return pl.DataFrame(
        {
            "user": usernames(block.user),
            "product": product_skus(block.product),
            "interaction_type": pl.Series(
                np.array(INTERACTION_TYPES, dtype=object)[block.kind], dtype=pl.String
            ),
            "created_at": _moments(truth, block.day),
            "interaction_value": pl.Series(block.value.astype(np.float64)).fill_nan(None),
            "session_id": pl.select(pl.lit(f"sim-{seed}-{number}-") + visits).to_series(),
            "event_id": _uuids(draw, block.kind.size),
        }
    )


def _moments(truth: ShopTruth, days: npt.NDArray[np.float64]) -> pl.Series:
    start = np.datetime64(truth.first_day.replace(tzinfo=None), "us")
    moments = start + np.floor(days * 86_400).astype("timedelta64[s]")
    return pl.Series(moments.astype("datetime64[us]")).dt.replace_time_zone("UTC")


def _uuids(draw: np.random.Generator, count: int) -> pl.Series:
    """So many random UUIDs (RFC 9562 version 8), as text."""
    octets = np.frombuffer(draw.bytes(16 * count), np.uint8).reshape(count, 16).copy()
    octets[:, 6] = octets[:, 6] & 0x0F | 0x80
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    text = np.full((count, 36), ord("-"), np.uint8)
    text[:, _PLACES[0::2]] = _DIGITS[octets >> 4]
    text[:, _PLACES[1::2]] = _DIGITS[octets & 15]
    return pl.Series(text.reshape(-1).view("S36").astype(str) if count else [], dtype=pl.String)
