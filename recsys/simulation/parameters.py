"""The size and the character of a simulated shop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from recsys.errors import Invalid

__all__ = ["ShopParameters"]

MOST_USERS, MOST_PRODUCTS, MOST_INTERACTIONS, MOST_DAYS = 100_000_000, 10_000_000, 2_000_000_000, 3_650
EVENTS_PER_BLOCK, USERS_PER_BLOCK = 400_000, 8_192


@dataclass(frozen=True)
class ShopParameters:
    """What a shop is drawn from; equal parameters give an equal shop.

    Parameters
    ----------
    users, products, interactions
        Sizes; the interactions are an expectation, met within some per cent.
    until, days
        End and length of the period of the interactions; `until` has a time zone and is excluded.
    seed
        Of all random numbers.
    factors
        Dimensions of tastes.
    taste
        Weight of the inner product of a user and a product in the logit of a view; 0: all users equal.
    zipf
        Exponent of the popularity of products by rank.
    repeat
        Probability that a purchase of a consumable product is followed by another one.

    Raises
    ------
    Invalid
        A value is out of range, or `until` has no time zone.
    """

    users: int
    products: int
    interactions: int
    until: datetime
    days: int = 365
    seed: int = 0
    factors: int = 16
    taste: float = 6.0
    zipf: float = 1.0
    repeat: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, value, least, most in (
            ("users", self.users, 1, MOST_USERS),
            ("products", self.products, 2, MOST_PRODUCTS),
            ("interactions", self.interactions, 1, MOST_INTERACTIONS),
            ("days", self.days, 1, MOST_DAYS),
            ("seed", self.seed, 0, 2**63 - 1),
            ("factors", self.factors, 2, 256),
            ("taste", self.taste, 0, 50),
            ("zipf", self.zipf, 0, 5),
            ("repeat", self.repeat, 0, 0.95),
        ):
            if not (isfinite(value) and least <= value <= most):
                raise Invalid(f"--{name} {value} is out of range; give {least:,} to {most:,}")
        if self.until.tzinfo is None:
            raise Invalid("--until has no time zone; give for example 2026-11-29T00:00:00Z")
        if self.until.year - self.days // 365 < 1971:
            raise Invalid(f"--until {self.until:%Y-%m-%d} with --days {self.days} begins before 1971")

    @property
    def users_per_block(self) -> int:
        """So many users are drawn at once: about `EVENTS_PER_BLOCK` interactions in a shop of any size."""
        return max(1, min(USERS_PER_BLOCK, EVENTS_PER_BLOCK * self.users // self.interactions))

    @property
    def blocks(self) -> int:
        """The number of blocks of users."""
        return -(-self.users // self.users_per_block)
