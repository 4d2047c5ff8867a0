"""Estimates against the truth of a simulated shop whose tastes are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.ranking.plackett_luce import draw, place_logits
from recsys.errors import Invalid
from tests.training.off_policy.simulation import (
    LISTS,
    OPTIONS,
    PLACES,
    PRODUCTS,
    TEMPERATURE,
    USERS,
    Ids,
    Shop,
    logged,
    simulated,
)
from training.off_policy.estimators import OffPolicyEstimates
from training.off_policy.evaluation import evaluate_lists
from training.off_policy.target import LoggedLists, TargetLists


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
