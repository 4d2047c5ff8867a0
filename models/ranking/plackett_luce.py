"""Plackett–Luce distributions over the order of a ranked list.

A list is drawn place by place, each product with a chance proportional to its weight among the products that
remain. The weight of a product depends on its rank in the list alone, exp(−rank / temperature): scores of
different models and placements have no common scale, and a rule that moves a product moves its weight, too.
Luce (1959), "Individual choice behavior", section 2.A; Plackett (1975), "The analysis of permutations",
Applied Statistics 24(2), section 2. The product with the highest logit plus Gumbel noise is such a draw
(Yellott 1977, "The relationship between Luce's choice axiom, Thurstone's theory of comparative judgment, and
the double exponential distribution", Journal of Mathematical Psychology 15(2), theorem 5).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["draw", "log_chances", "place_logits"]

Logits = npt.NDArray[np.float64]


def place_logits(size: int, temperature: float) -> Logits:
    """The logarithms of the weights of a list's products, best first.

    Parameters
    ----------
    temperature
        In places, above 0.

    Returns
    -------
    float64, shape (size,)

    Raises
    ------
    ValueError
        For another temperature.
    """
    if not temperature > 0:
        raise ValueError("the temperature of a Plackett–Luce distribution must be above 0")
    logits: Logits = -np.arange(size, dtype=np.float64) / temperature
    return logits


def draw(logits: Logits, size: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """The first `size` products of a drawn order.

    One Gumbel variable per product, sorted once: Kool, van Hoof & Welling (2019), "Stochastic beams and where
    to find them", ICML, section 2.3 (the Gumbel-top-k trick).

    Returns
    -------
    int64, shape (min(size, n),)
        Indices of `logits`.
    """
    order = np.argsort(-(logits + generator.gumbel(size=logits.size)), kind="stable")
    return order[:size].astype(np.int64)


def log_chances(logits: Logits, order: npt.NDArray[np.int64]) -> Logits:
    """The logarithm of the chance of each product of an order, given those before it.

    Parameters
    ----------
    logits : float64, shape (n,)
    order : int64, shape (k,)
        Distinct indices of products; -1 is a product that cannot be drawn: its chance is 0 (-inf), and it
        takes nothing from the others.

    Returns
    -------
    float64, shape (k,)
    """
    chances = np.full(order.size, -np.inf)
    drawn = order >= 0
    of_order = logits[order[drawn]]
    left = np.ones(logits.size, dtype=bool)
    left[order[drawn]] = False
    # what remains at each place: the products that were never drawn, and those drawn at it or after it
    after_all = np.logaddexp.reduce(logits[left]) if left.any() else -np.inf
    remaining = np.logaddexp.accumulate(np.concatenate([[after_all], of_order[::-1]]))[1:][::-1]
    chances[drawn] = of_order - remaining
    return chances
