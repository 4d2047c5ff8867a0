"""The promotion rule on planted winners, losers and ties."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.experiment import PromotionRule
from training.promotion import Champion, Decision, decide

RNG = np.random.default_rng(0)
BASE = RNG.beta(1, 4, 400)
BETTER = BASE + 0.05 + RNG.normal(0, 0.02, 400)
SLIGHTLY = BASE + 0.01 + RNG.normal(0, 0.01, 400)
WORSE = BASE - 0.05
NOISE = RNG.normal(0, 0.05, 400)
TIE = BASE + NOISE - NOISE.mean() + 1e-5


def _decide(
    challengers: dict[str, npt.NDArray[np.float64]], champion: Champion | None, **rule: float
) -> Decision:
    return decide(challengers, champion, PromotionRule.model_validate(rule), k=20, draws=400, seed=0)


def test_without_a_champion_the_best_is_promoted() -> None:
    decision = _decide({"a": BASE, "b": BETTER}, None)
    assert (decision.action, decision.promoted, decision.champion) == ("promote", "b", None)
    assert "no model was serving" in decision.reason


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
    alone = _decide({"a": change}, Champion("old", BASE[:60]))
    noise = RNG.normal(0, 0.05, (5, 60))
    crowd = {f"x{i}": BASE[:60] + one - one.mean() for i, one in enumerate(noise)}  # five ties
    together = _decide({"a": change, **crowd}, Champion("old", BASE[:60]))
    assert alone.action == "promote"
    assert together.action == "hold"


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
