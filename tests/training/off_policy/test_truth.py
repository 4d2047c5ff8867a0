"""Estimates against the truth of a simulated shop whose tastes are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from models.ranking.plackett_luce import draw, log_chances, place_logits
from recsys.errors import Invalid
from recsys.simulation.catalogue import draw_truth
from recsys.simulation.parameters import ShopParameters
from training.off_policy.estimators import OffPolicyEstimates
from training.off_policy.evaluation import OffPolicyOptions, evaluate_lists
from training.off_policy.log import Reward
from training.off_policy.target import LoggedLists, TargetLists

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


def value(shop: Shop, rankings: Ids, *, cascade: bool) -> float:
    """The true mean of clicks per list: of all users, by the chances of clicks on 40 drawn pages each."""
    chance, logits = np.random.default_rng(99), place_logits(PRODUCTS, TEMPERATURE)
    look, total, pages = 0.9 ** np.arange(PLACES), 0.0, 40
    for user in range(USERS):
        for _ in range(pages):
            page = rankings[user, draw(logits, PLACES, chance)]
            clicked = shop.chances[user, page] * look
            reached = np.concatenate([[1.0], np.cumprod(1 - clicked)[:-1]]) if cascade else 1.0
            total += float((clicked * reached).sum())
    return total / (USERS * pages)


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


def estimated(lists: LoggedLists, rankings: Ids, **changes: object) -> OffPolicyEstimates:
    options = replace(OPTIONS, **changes)  # type: ignore[arg-type]
    target = TargetLists(rankings[lists.visitors], options.temperature)
    return evaluate_lists(lists, target, options)[0]


@pytest.mark.parametrize("cascade", [False, True])
def test_intervals_cover_the_truth_and_the_mean_of_the_log_does_not(cascade: bool) -> None:
    shop = simulated(5)
    true = value(shop, shop.personal, cascade=cascade)
    names = ("ips", "snips", "doubly_robust")
    covered = dict.fromkeys((*names, "logged"), 0)
    gains, error = 0, dict.fromkeys(names, 0.0)
    logs = 20
    for seed in range(logs):
        found = estimated(logged(shop, shop.popular, seed, cascade=cascade), shop.personal)
        for name in covered:
            each = getattr(found, name)
            covered[name] += each.low <= true <= each.high
        for name in names:
            error[name] += (getattr(found, name).value - true) / logs
        gains += found.gain.low > 0
    assert min(covered[name] for name in names) >= 17, covered
    assert covered["logged"] == 0
    assert gains >= 15, "nearly each log alone proves that the personal model is better"
    assert all(abs(each) < 0.03 * true for each in error.values()), (error, true)


def test_the_model_of_the_log_itself_earns_what_the_log_earned() -> None:
    shop = simulated(6)
    lists = logged(shop, shop.popular, 1, cascade=True)
    found = estimated(lists, shop.popular)
    assert all(place.mean_weight.value == pytest.approx(1.0) for place in found.places)
    assert found.places[-1].effective_lists == pytest.approx(LISTS)
    for each in (found.ips, found.snips):
        assert each.value == pytest.approx(found.logged.value)
    assert found.gain.low < 0 < found.gain.high


def test_a_model_without_support_is_refused() -> None:
    shop = simulated(7)
    lists = logged(shop, shop.popular, 1, cascade=False, lists=1_000)
    half = replace(lists, candidates=np.where(lists.candidates % 2 == 0, lists.candidates, -1))
    kept = half.take(np.flatnonzero((half.products % 2 == 0).all(axis=1)))
    with pytest.raises(Invalid, match=r"no support for this model: [45]\d% of what"):
        estimated(kept, shop.personal)
    with pytest.raises(Invalid, match=r"its 1,000 lists of \d+ users are worth those of \d+ at place \d"):
        estimated(lists, shop.personal, temperature=0.5)
    with pytest.raises(Invalid, match="at least 1000 are needed"):
        estimated(lists, shop.personal, min_effective=1000.0)
