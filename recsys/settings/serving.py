"""Settings of stored lists and of answers."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, Field, model_validator

__all__ = ["ServingSettings"]


class ServingSettings(BaseModel, extra="forbid"):
    """What is stored for each user and what may appear again.

    Attributes
    ----------
    stored_per_user
        Length of a user's stored list of any products.
    stored_new_per_user
        Length of a user's stored list of products that are new to the user.
    stored_active_days
        Users without an interaction or a log-in in so many days before the end of the training data get no
        stored list, and are answered live, until their next interaction; 0: all get one.
    rows_per_list
        So many first products of each stored list are rows of product_recommendations, too; unset: all, but
        so many in a shop of more than 25,000 users that there are 5 million rows, 20 of each list at least. A
        row takes about 620 bytes, its place in the stored list 11; answers and feedback do not need it.
    stored_products
        Of so many of the most popular products the lists of similar and complementary ones are made with the
        users' lists; of others when they are first requested.
    stored_per_product
        Length of these lists.
    expires_after_hours
        Stored lists are valid so long after a scoring of all users made them.
    full_after_hours
        While one model serves, the job `score` makes the lists of all users again so long after they were;
        unset: after half of expires_after_hours.
    changed_after_hours
        In between, it makes those of users who did something since again so often.
    repeat_purchases
        Bought products may be recommended again, where their category does not say otherwise.
    default_limit
        Products of an answer whose request names no limit.
    deadline_ms
        A list that takes longer is answered with what is ready.
    """

    stored_per_user: int = Field(default=100, ge=40, le=1000)
    stored_new_per_user: int = Field(default=40, ge=20, le=500)
    stored_active_days: float = Field(default=365.0, ge=0, le=36_500)
    rows_per_list: int | None = Field(default=None, ge=20, le=1000)
    stored_products: int = Field(default=5000, ge=0, le=1_000_000)
    stored_per_product: int = Field(default=100, ge=40, le=300)
    expires_after_hours: float = Field(default=24.0 * 7, gt=0)
    full_after_hours: float | None = Field(default=None, gt=0)
    changed_after_hours: float = Field(default=24.0, ge=0)
    repeat_purchases: bool = True
    default_limit: int = Field(default=20, ge=1, le=100)
    deadline_ms: int = Field(default=150, ge=5, le=60_000)

    @property
    def full_after(self) -> timedelta:
        """How long after a scoring of all users the next one is due."""
        hours = self.expires_after_hours / 2 if self.full_after_hours is None else self.full_after_hours
        return timedelta(hours=hours)

    @model_validator(mode="after")
    def _makes_lists_again_before_they_expire(self) -> ServingSettings:
        if self.full_after_hours is not None and self.full_after_hours >= self.expires_after_hours:
            raise ValueError("full_after_hours must be less than expires_after_hours")
        return self
