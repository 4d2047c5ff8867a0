"""The rule by which a challenger replaces the champion, as one pure function of per-user figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.evaluation.significance import Comparison, compare, holm
from training.experiment import PromotionRule

__all__ = ["Champion", "Decision", "decide"]

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Champion:
    """The model that serves now, judged on the same fold.

    values   its primary metric per user, float64 (n,); None when it could not be judged: `problem` says why
    recipe   name of this run's challenger with the same algorithm, seed and parameters, if there is one
    newer    whether this run learned from other data than the champion did
    """

    name: str
    values: Values | None
    recipe: str | None = None
    newer: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Decision:
    """What to do and why. `winner`: the best challenger; `promoted`: the one to activate, None to hold."""

    action: Literal["promote", "refresh", "hold"]
    winner: str
    promoted: str | None
    champion: str | None
    reason: str
    challenger: str | None = None
    """The one that came nearest to replacing the champion, or did."""
    comparison: Comparison | None = None
    """That challenger against the champion; its p-value is Holm-adjusted."""


def decide(
    challengers: Mapping[str, Values],
    champion: Champion | None,
    rule: PromotionRule,
    *,
    k: int,
    draws: int,
    seed: int,
) -> Decision:
    """Judge challengers (name → primary metric per user, float64 (n,), same users everywhere).

    1. Without a champion the best mean is promoted.
    2. A challenger whose mean is higher than the champion's by more than the margin, with a Holm-adjusted
       paired p-value below `rule.significance`, replaces it; of several the best mean.
    3. Otherwise a challenger with the champion's own recipe, trained on newer data, refreshes it: the model
       is the same, what it knows is not.
    4. Otherwise the champion stays.
    """
    means = {name: float(values.mean()) for name, values in challengers.items()}
    winner = max(means, key=lambda name: means[name])
    figure = f"{label(rule.metric, k)} ({rule.view} products)"
    if champion is None:
        reason = f"no model was serving; {winner} has the highest {figure}: {means[winner]:.4f}"
        return Decision("promote", winner, winner, None, reason)
    if champion.values is None:
        reason = (
            f"the champion {champion.name} could not be judged on this test ({champion.problem}); "
            f"decide by hand: `recsys train promote NAME --reason …`"
        )
        return Decision("hold", winner, None, champion.name, reason)

    compared = _against(challengers, champion.values, champion.recipe, draws, seed)
    better = [
        name
        for name, comparison in compared.items()
        if comparison.difference > rule.margin and comparison.p_value < rule.significance
    ]
    if better:
        best = max(better, key=lambda name: means[name])
        reason = f"{best} beats the champion {champion.name} on {figure} by {_by(compared[best])}"
        return Decision("promote", winner, best, champion.name, reason, best, compared[best])
    nearest = max(compared, key=lambda name: means[name], default=None)
    short = "" if nearest is None else f"; {nearest} differs by {_by(compared[nearest])}"
    bar = f"by more than {rule.margin:g} with p < {rule.significance:g}"
    asked = f"no challenger beats it on {figure} {bar}{short}"
    comparison = None if nearest is None else compared[nearest]
    if champion.recipe is not None and champion.newer:
        reason = f"{champion.recipe} is the champion {champion.name} trained on newer data, and {asked}"
        return Decision("refresh", winner, champion.recipe, champion.name, reason, nearest, comparison)
    reason = f"{champion.name} keeps serving: {asked}"
    return Decision("hold", winner, None, champion.name, reason, nearest, comparison)


def label(metric: str, k: int) -> str:
    """How people write a metric: `NDCG@20`, `hit rate@20`."""
    words = {"ndcg": "NDCG", "map": "MAP", "mrr": "MRR", "hit_rate": "hit rate"}
    return f"{words.get(metric, metric)}@{k}"


def _against(
    challengers: Mapping[str, Values], champion: Values, recipe: str | None, draws: int, seed: int
) -> dict[str, Comparison]:
    """Each challenger against the champion; the p-values are adjusted for there being several."""
    names = [name for name in challengers if name != recipe]
    raw = [compare(challengers[name], champion, draws=draws, seed=seed) for name in names]
    adjusted = holm([comparison.p_value for comparison in raw])
    return {
        name: Comparison(one.difference, one.low, one.high, p_value, one.smallest)
        for name, one, p_value in zip(names, raw, adjusted, strict=True)
    }


def _by(comparison: Comparison) -> str:
    low, high = comparison.low, comparison.high
    return (
        f"{comparison.difference:+.4f} (95% interval {low:+.4f} to {high:+.4f}, p = {comparison.p_value:.4f})"
    )
