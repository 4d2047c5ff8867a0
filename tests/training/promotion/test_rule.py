"""The promotion rule on planted winners, losers and ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from training.evaluation.significance import smallest_difference
from training.experiment import PromotionRule
from training.promotion.guardrails import GateFigures, check, scoring_time
from training.promotion.rule import Champion, PromotionDecision, decide, safe_order

RNG = np.random.default_rng(0)
BASE = RNG.beta(1, 4, 400)
BETTER = BASE + 0.05 + RNG.normal(0, 0.02, 400)
SLIGHTLY = BASE + 0.01 + RNG.normal(0, 0.01, 400)
WORSE = BASE - 0.05
NOISE = RNG.normal(0, 0.05, 400)
TIE = BASE + NOISE - NOISE.mean() + 1e-5
GOOD = GateFigures(coverage=0.2, popularity_share=0.6, empty_rate=0.0, scoring_ms=500.0)
FIGURES = {
    "narrow": replace(GOOD, coverage=0.02),
    "crowded": replace(GOOD, popularity_share=0.95),
    "silent": replace(GOOD, empty_rate=0.3),
    "slow": replace(GOOD, scoring_ms=90_000.0),
}
"""Challengers that break the guardrail they are named for; all others are good."""


def _decide(
    challengers: dict[str, npt.NDArray[np.float64]],
    champion: Champion | None,
    safe: Sequence[str] = (),
    problem: str = "",
    others: dict[str, npt.NDArray[np.float64]] | None = None,
    **rule: float,
) -> PromotionDecision:
    figures = dict.fromkeys(challengers, GOOD) | FIGURES
    checked = PromotionRule.model_validate(rule)
    return decide(
        challengers,
        champion,
        checked,
        figures=figures,
        k=20,
        draws=400,
        seed=0,
        safe=safe,
        problem=problem,
        others=others,
    )


def test_without_a_champion_the_best_is_promoted() -> None:
    decision = _decide({"a": BASE, "b": BETTER}, None)
    assert (decision.action, decision.promoted, decision.champion) == ("promote", "b", None)
    assert "no model was serving" in decision.reason


def test_without_a_champion_the_model_with_a_rule_for_each_question_serves_unless_another_is_better() -> None:
    decision = _decide({"hybrid": BASE, "a": TIE, "b": WORSE}, None, safe=["hybrid", "a", "b"])
    assert decision.promoted == "hybrid"
    assert "a, the highest on NDCG@20 (all products), is not significantly better" in decision.reason
    assert _decide({"hybrid": BASE, "a": BETTER}, None, safe=["hybrid", "a"]).promoted == "a"
    assert _decide({"slow": BASE, "a": WORSE}, None, safe=["slow", "a"]).promoted == "a"


def test_a_model_that_is_better_for_new_products_alone_replaces_the_champion() -> None:
    champion = Champion("old", BASE, other=BASE)
    decision = _decide({"a": TIE}, champion, others={"a": BETTER})
    assert (decision.action, decision.promoted) == ("promote", "a")
    assert "NDCG@20 (new products)" in decision.reason
    assert _decide({"a": TIE}, champion, others={"a": TIE}).action == "hold"


def test_what_is_worse_for_one_question_is_not_promoted_for_the_other() -> None:
    champion = Champion("old", BASE, other=BASE)
    assert _decide({"a": BETTER}, champion, others={"a": WORSE}).action == "hold"
    assert _decide({"a": WORSE}, champion, others={"a": BETTER}).action == "hold"


def test_a_winner_is_promoted_and_named_with_its_figures() -> None:
    decision = _decide({"a": WORSE, "b": BETTER}, Champion("old", BASE))
    assert (decision.action, decision.promoted, decision.challenger) == ("promote", "b", "b")
    assert decision.comparison is not None
    assert decision.comparison.p_value < 0.05
    assert f"{decision.comparison.difference:+.4f}" in decision.reason


def test_loser_and_tie_are_held() -> None:
    for values in (WORSE, TIE):
        decision = _decide({"a": values}, Champion("old", BASE))
        assert (decision.action, decision.promoted) == ("hold", None)
        assert "old keeps serving" in decision.reason


def test_a_significant_but_small_gain_does_not_pass_the_margin() -> None:
    assert _decide({"a": SLIGHTLY}, Champion("old", BASE)).action == "promote"
    assert _decide({"a": SLIGHTLY}, Champion("old", BASE), margin=0.02).action == "hold"


def test_many_challengers_must_show_more() -> None:
    change = RNG.normal(0, 1, 60)
    change = BASE[:60] + (change - change.mean()) / change.std() + 2.3 / np.sqrt(60)  # p about 0.025
    alone = _decide({"a": change}, Champion("old", BASE[:60]), min_users=60)
    noise = RNG.normal(0, 0.05, (5, 60))
    crowd = {f"x{i}": BASE[:60] + one - one.mean() for i, one in enumerate(noise)}  # five ties
    together = _decide({"a": change, **crowd}, Champion("old", BASE[:60]), min_users=60)
    assert alone.action == "promote"
    assert together.action == "hold"


@pytest.mark.parametrize("users", [1, 2, 99])
def test_a_test_of_few_users_promotes_nobody_and_says_what_it_could_have_found(users: int) -> None:
    values = {"best": BETTER[:users], "plain": WORSE[:users]}
    first = _decide(values, None, safe=["plain", "best"])
    assert (first.action, first.promoted, first.winner) == ("promote", "plain", "best")
    assert "fewer than the 100 that decide" in first.reason
    assert "safe default" in first.reason
    held = _decide(values, Champion("old", BASE[:users]))
    assert (held.action, held.promoted) == ("hold", None)
    assert held.reason.startswith(f"old keeps serving: the test has {users} user")
    if users > 1:
        smallest = smallest_difference((BETTER - BASE)[:users])
        assert f"80% power it finds a difference in NDCG@20 (all products) of {smallest:.4f}" in held.reason
    newer = _decide(values, Champion("old", BASE[:users], recipe="plain", newer=True))
    assert (newer.action, newer.promoted) == ("refresh", "plain")
    assert _decide({"a": BETTER[:100]}, Champion("old", BASE[:100])).action == "promote"


def test_without_any_test_the_safe_default_serves_or_the_champion_stays() -> None:
    nobody = {"a": BASE[:0], "popular": BASE[:0], "slow": BASE[:0]}
    first = _decide(nobody, None, safe=["slow", "popular", "a"], problem="all times are equal")
    assert (first.action, first.promoted) == ("promote", "popular")  # the slow one breaks a guardrail
    assert first.reason.startswith("no test was possible: all times are equal")
    held = _decide(
        nobody, Champion("old", None, problem="all times are equal"), problem="all times are equal"
    )
    assert (held.action, held.promoted) == ("hold", None)
    newer = Champion("old", BASE[:0], recipe="a", newer=True)
    assert _decide(nobody, newer, problem="all times are equal").action == "refresh"
    none = _decide({"slow": BASE[:0]}, None, safe=["slow"])
    assert (none.action, none.promoted) == ("hold", None)


def test_the_safe_order_is_the_hybrid_then_popularity_then_the_rest() -> None:
    names = {"als-v1": "als", "mine-v2": "popularity", "mix-v1": "hybrid", "ease-v1": "ease"}
    assert safe_order(names) == ["mix-v1", "mine-v2", "als-v1", "ease-v1"]


def test_the_champions_recipe_is_refreshed_only_by_newer_data() -> None:
    champion = Champion("old-v1", BASE, recipe="old-v2", newer=True)
    decision = _decide({"old-v2": BASE, "a": WORSE}, champion)
    assert (decision.action, decision.promoted) == ("refresh", "old-v2")
    same = _decide({"old-v2": BASE}, Champion("old-v1", BASE, recipe="old-v2", newer=False))
    assert (same.action, same.promoted) == ("hold", None)
    beaten = _decide({"old-v2": BASE, "b": BETTER}, champion)
    assert (beaten.action, beaten.promoted) == ("promote", "b")


def test_a_champion_that_cannot_be_judged_is_not_replaced_blindly() -> None:
    decision = _decide({"a": BETTER}, Champion("old", None, problem="its algorithm is gone"))
    assert (decision.action, decision.promoted) == ("hold", None)
    assert "its algorithm is gone" in decision.reason
    assert "recsys train promote" in decision.reason


@pytest.mark.parametrize(
    ("name", "limits", "message"),
    [
        ("narrow", {}, "coverage 0.02 is below the limit 0.075"),
        ("narrow", {"min_coverage": 0.1}, "coverage 0.02 is below the limit 0.1"),
        ("crowded", {"max_popularity_share": 0.9}, "popularity share 0.95 is above the limit 0.9"),
        ("silent", {}, "empty rate 0.3 is above the limit 0.05"),
        ("slow", {}, "scoring time 9e+04 is above the limit 6e+04 ms per 1000 users"),
    ],
)
def test_a_better_one_that_breaks_a_guardrail_is_held(
    name: str, limits: dict[str, float], message: str
) -> None:
    champion = Champion("old", BASE, coverage=0.3)
    decision = _decide({name: BETTER}, champion, **limits)
    assert (decision.action, decision.promoted, decision.judged) == ("hold", None, name)
    assert f"{name} is better on NDCG@20" in decision.reason
    assert message in decision.reason
    assert [bound.ok for bound in decision.guardrails[name]].count(False) == 1
    kept = {
        "min_coverage_of_champion": 0.0,
        "max_empty_rate": 0.5,
        "max_scoring_ms": 1e6,
        "max_popularity_share": 1.0,
    }
    assert _decide({name: BETTER}, champion, **kept).promoted == name


def test_a_good_challenger_passes_one_that_breaks_a_guardrail() -> None:
    best = BETTER + 0.05
    decision = _decide({"silent": best, "b": BETTER}, Champion("old", BASE))
    assert (decision.action, decision.promoted, decision.winner) == ("promote", "b", "silent")
    assert "silent breaks a guardrail (empty rate" in decision.reason


def test_a_refresh_keeps_the_guardrails_too() -> None:
    champion = Champion("old-v1", BASE, recipe="silent", newer=True)
    decision = _decide({"silent": BASE}, champion)
    assert (decision.action, decision.promoted) == ("hold", None)
    assert "breaks a guardrail (empty rate 0.3" in decision.reason


def test_the_first_model_keeps_the_guardrails_too() -> None:
    decision = _decide({"silent": BETTER, "b": BASE}, None)
    assert (decision.action, decision.promoted) == ("promote", "b")
    assert "highest NDCG@20 (all products) among those that keep" in decision.reason
    alone = _decide({"silent": BETTER}, None)
    assert (alone.action, alone.promoted, alone.champion) == ("hold", None, None)
    assert "none can" in alone.reason


def test_an_unknown_figure_breaks_nothing_and_the_limit_itself_is_allowed() -> None:
    rule = PromotionRule(min_coverage=0.2, max_popularity_share=0.1)
    bounds = check(replace(GOOD, popularity_share=None), rule, champion_coverage=0.8)
    assert all(bound.ok for bound in bounds)
    assert [bound.limit for bound in bounds][:2] == [0.2, 0.1]


def test_planted_better_worse_and_tied_models_get_what_they_deserve() -> None:
    champion = Champion("old", BASE, coverage=0.2)
    assert _decide({"worse": WORSE}, champion).action == "hold"
    tied = _decide({"tie": TIE}, champion)
    assert tied.comparison is not None
    assert tied.comparison.p_value > 0.5
    assert tied.action == "hold"
    assert _decide({"worse": WORSE, "tie": TIE, "better": BETTER}, champion).promoted == "better"


@pytest.mark.parametrize(
    ("seconds", "users", "milliseconds"),
    [(10.0, 32, 10_000.0), (10.0, 1_000, 10_000.0), (10.0, 4_000, 2_500.0), (0.0, 0, 0.0)],
)
def test_the_time_of_the_start_is_not_multiplied_where_there_are_few_users(
    seconds: float, users: int, milliseconds: float
) -> None:
    assert scoring_time(seconds, users) == milliseconds
