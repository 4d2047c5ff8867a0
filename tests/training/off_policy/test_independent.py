"""IPS and doubly robust estimates against those of Vowpal Wabbit, on one log of a simulated shop.

It evaluates single choices of a policy without chance (`--cb … --eval`), and fits a reward model of its own
for the doubly robust estimate (Dudík et al. 2011), so only IPS must be equal.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from vowpalwabbit import Workspace

from tests.training.off_policy.simulation import OPTIONS, PRODUCTS, Shop, logged, simulated
from training.off_policy.evaluation import evaluate_lists
from training.off_policy.target import LoggedLists, TargetLists

LISTS = 4_000
NO_CHANCE = 0.01
"""A temperature at which the first product of a ranking is drawn for certain."""


@pytest.fixture(scope="module")
def tastes() -> Shop:
    return simulated(5)


@pytest.fixture(scope="module")
def log(tastes: Shop) -> LoggedLists:
    """Lists of one product."""
    lists = logged(tastes, tastes.popular, 3, cascade=False, lists=LISTS)
    return replace(
        lists,
        products=lists.products[:, :1],
        propensities=lists.propensities[:, :1],
        rewards=lists.rewards[:, :1],
    )


def wabbit(log: LoggedLists, chosen: list[int], kind: str) -> float:
    """The value of always choosing these products, by Vowpal Wabbit."""
    workspace = Workspace(f"--cb {PRODUCTS} --cb_type {kind} --eval --quiet")
    rows = zip(
        chosen,
        log.products[:, 0].tolist(),
        log.rewards[:, 0].tolist(),
        log.propensities[:, 0].tolist(),
        strict=True,
    )
    for product, shown, reward, propensity in rows:
        workspace.learn(f"{product + 1} {shown + 1}:{reward}:{propensity:.9f} | chosen={product}")
    total = workspace.get_sum_loss()
    workspace.finish()
    return total / len(chosen)


def test_estimates_are_those_of_vowpal_wabbit(tastes: Shop, log: LoggedLists) -> None:
    rankings = tastes.personal[log.visitors]
    options = replace(OPTIONS, places=1, temperature=NO_CHANCE, clip=1e9, min_effective=1.0)
    found = evaluate_lists(log, TargetLists(rankings, NO_CHANCE), options)[0]
    chosen = rankings[:, 0].tolist()
    assert found.ips.value == pytest.approx(wabbit(log, chosen, "ips"), rel=1e-4)
    assert found.ips.value > 1.2 * found.logged.value, "the log and the other model are not alike"
    robust = wabbit(log, chosen, "dr")
    assert found.doubly_robust.low < robust < found.doubly_robust.high
    true = float((tastes.chances[log.visitors, chosen]).mean())
    assert found.doubly_robust.low < true < found.doubly_robust.high
    # a doubly robust estimate with any reward model is nearer to IPS's truth than to the mean of the log
    assert abs(robust - true) < abs(found.logged.value - true)
