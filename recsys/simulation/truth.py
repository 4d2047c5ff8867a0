"""What a simulated shop was drawn from: tastes, popularity, seasons, and the probabilities that follow.

A user's view is drawn in two steps, a category and a product in it, each by a softmax:
P(c | u, t) ∝ exp(taste · u·c + ln popularity(c) + season(c, t)), and P(i | c, u, t) ∝ exp(taste · u·i +
ln popularity(i)) over the products of c that are on sale at t. A viewed product is bought with
`purchase_chances`. Moments are days since the shop's first day, as floats.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from recsys.errors import Invalid, NotFound
from recsys.simulation.parameters import ShopParameters

__all__ = ["PARAMETERS_FILE", "TRUTH_FILE", "ShopTruth", "cart_chances"]

TRUTH_FILE, PARAMETERS_FILE = "truth.npz", "shop.json"
PURCHASE_OF_CART = 0.6
YEAR = 365.25

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]


def cart_chances(affinity: Floats) -> Floats:
    """The probability that a viewed product is put into the cart, float32; `affinity`: inner products."""
    chances: Floats = (1.0 / (1.0 + np.exp(3.0 - 3.0 * affinity))).astype(np.float32)
    return chances


@dataclass(frozen=True, eq=False)
class ShopTruth:
    """The tastes of a shop with U users, P products in C categories, K factors.

    Attributes
    ----------
    parameters
        What they were drawn from.
    user_vectors : float32, shape (U, K)
        Of length 1, as the following two.
    product_vectors : float32, shape (P, K)
        Products lie in the order of their categories.
    category_vectors : float32, shape (C, K)
    log_popularity : float32, shape (P,)
    first_product : int32, shape (C + 1,)
        The first product of each category, and P.
    released : float32, shape (P,)
        The day of release; the first product of each category is there from the start.
    season_height, season_phase : float32, shape (C,)
        The season adds height · cos(2π (t / year − phase)).
    cycle_days : float32, shape (C,)
        Median days between purchases of a consumable product; 0 where none is.
    """

    parameters: ShopParameters
    user_vectors: Floats
    product_vectors: Floats
    category_vectors: Floats
    log_popularity: Floats
    first_product: Integers
    released: Floats
    season_height: Floats
    season_phase: Floats
    cycle_days: Floats

    @property
    def first_day(self) -> datetime:
        """The moment 0."""
        return self.parameters.until - timedelta(days=self.parameters.days)

    @property
    def categories(self) -> Integers:
        """int32 (P,): the category of each product."""
        sizes = np.diff(self.first_product)
        return np.repeat(np.arange(sizes.size, dtype=np.int32), sizes)

    @property
    def category_log_popularity(self) -> Floats:
        """float32 (C,): of all products of each category together."""
        sums: Floats = np.log(np.add.reduceat(np.exp(self.log_popularity), self.first_product[:-1]))
        return sums

    def season(self, days: Floats) -> Floats:
        """What the season adds to the logit of each category, float32 (days, C)."""
        angle = 2 * np.pi * (np.asarray(days, np.float32)[:, None] / YEAR - self.season_phase)
        added: Floats = (self.season_height * np.cos(angle)).astype(np.float32)
        return added

    def affinity(self, users: npt.ArrayLike) -> Floats:
        """Inner products of these users (numbers from 0) and all products, float32 (users, P)."""
        inner: Floats = self.user_vectors[np.asarray(users, np.int64)] @ self.product_vectors.T
        return inner

    def view_probabilities(self, users: npt.ArrayLike, day: float) -> Floats:
        """The probability that the next view of each user at that moment is of each product.

        Parameters
        ----------
        users : integers, shape (n,)
            Numbers of users from 0.
        day
            The moment, in days since the shop's first day.

        Returns
        -------
        float32, shape (n, P)
            Rows sum to 1; products that are not yet released have 0.
        """
        rows = np.asarray(users, np.int64)
        taste, starts = self.parameters.taste, self.first_product[:-1]
        category = taste * (self.user_vectors[rows] @ self.category_vectors.T) + self.category_log_popularity
        category += self.season(np.array([day], np.float32))
        category = np.exp(category - category.max(axis=1, keepdims=True))
        category /= category.sum(axis=1, keepdims=True)
        product = taste * self.affinity(rows) + self.log_popularity
        product -= np.maximum.reduceat(product, starts, axis=1)[:, self.categories]
        product = np.where(self.released <= day, np.exp(product), np.float32(0))
        share = product / np.add.reduceat(product, starts, axis=1)[:, self.categories]
        probabilities: Floats = (category[:, self.categories] * share).astype(np.float32)
        return probabilities

    def purchase_chances(self, users: npt.ArrayLike) -> Floats:
        """The probability that each user buys each product after a view of it, float32 (users, P)."""
        chances: Floats = cart_chances(self.affinity(users)) * np.float32(PURCHASE_OF_CART)
        return chances

    def save(self, folder: Path) -> None:
        """Write `truth.npz` and `shop.json`."""
        arrays = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "parameters"}
        np.savez(folder / TRUTH_FILE, **arrays)
        record = asdict(self.parameters) | {"until": self.parameters.until.isoformat()}
        (folder / PARAMETERS_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a shop's truth. Raises NotFound where there is none, Invalid when it is damaged."""
        try:
            record: dict[str, Any] = json.loads((folder / PARAMETERS_FILE).read_text(encoding="utf-8"))
            record["until"] = datetime.fromisoformat(record["until"])
            with (folder / TRUTH_FILE).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(ShopParameters(**record), **{name: arrays[name] for name in arrays.files})
        except FileNotFoundError as error:
            raise NotFound(
                f"{folder} has no {TRUTH_FILE} with {PARAMETERS_FILE}; make a shop with `recsys simulate`"
            ) from error
        except (KeyError, TypeError, ValueError, OSError, BadZipFile) as error:
            raise Invalid(f"the truth in {folder} is damaged ({error}); make the shop again") from error
