"""A simulated shop whose values are known, and the log of its lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from models.ranking.plackett_luce import draw, log_chances, place_logits
from recsys.simulation.catalogue import draw_truth
from recsys.simulation.parameters import ShopParameters
from training.off_policy.evaluation import OffPolicyOptions
from training.off_policy.log import Reward
from training.off_policy.target import LoggedLists

Ids = npt.NDArray[np.int64]
USERS, PRODUCTS, PLACES, LISTS = 400, 40, 3, 4_000
TEMPERATURE = 15.0
NOW = datetime(2026, 11, 29, tzinfo=UTC)
OPTIONS = OffPolicyOptions(
    since=NOW - timedelta(days=7), until=NOW, window=timedelta(days=1), reward=Reward.CLICKS, shelf="for_you",
    places=PLACES, temperature=TEMPERATURE, depth=PRODUCTS, clip=100.0, min_effective=50.0, rerank=False,
    draws=400, seed=0,
)  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """The chance that each user clicks each product, and the rankings of two models, (users, products)."""

    chances: npt.NDArray[np.float64]
    popular: Ids
    personal: Ids


def simulated(seed: int) -> Shop:
    """A shop of `recsys simulate`: one model ranks by popularity, the other knows the tastes."""
    truth = draw_truth(
        ShopParameters(users=USERS, products=PRODUCTS, interactions=10_000, until=NOW, seed=seed)
    )
    users = np.arange(USERS)
    chances = 0.02 + 0.9 * truth.purchase_chances(users).astype(np.float64)
    popular = np.tile(np.argsort(-truth.log_popularity, kind="stable"), (USERS, 1))
    return Shop(chances, popular, np.argsort(-truth.affinity(users), axis=1, kind="stable"))


def clicks(
    shop: Shop, user: int, page: Ids, chance: np.random.Generator, *, cascade: bool
) -> npt.NDArray[np.float64]:
    """The clicks on a page; in the cascade nobody looks further after a click."""
    clicked = chance.random(PLACES) < shop.chances[user, page] * 0.9 ** np.arange(PLACES)
    if cascade and clicked.any():
        clicked[np.argmax(clicked) + 1 :] = False
    return clicked.astype(np.float64)


def logged(shop: Shop, rankings: Ids, seed: int, *, cascade: bool, lists: int = LISTS) -> LoggedLists:
    """Drawn lists of the model with these rankings."""
    chance, logits = np.random.default_rng(seed), place_logits(PRODUCTS, TEMPERATURE)
    users = chance.integers(0, USERS, lists)
    pages, propensities, rewards = [], [], []
    for user in users.tolist():
        order = draw(logits, PLACES, chance)
        pages.append(rankings[user, order])
        propensities.append(np.exp(log_chances(logits, order)))
        rewards.append(clicks(shop, user, pages[-1], chance, cascade=cascade))
    return LoggedLists(users, np.array(pages), np.array(propensities), np.array(rewards), rankings[users])
