"""The rule by which a challenger replaces the champion, as one pure function of per-user figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.evaluation.significance import Comparison, compare, holm
from training.experiment import PromotionRule
from training.guardrails import Bound, GateFigures, check, describe_broken

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
    coverage: float | None = None
    """Its catalogue coverage on this fold at the primary k, where known: a guardrail looks at it."""


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
    guardrails: Mapping[str, tuple[Bound, ...]] = field(default_factory=dict)
    """Every challenger's figures beside their limits."""

    @property
    def judged(self) -> str:
        """The challenger that the decision is about."""
        return self.promoted or self.challenger or self.winner


def decide(
    challengers: Mapping[str, Values],
    champion: Champion | None,
    rule: PromotionRule,
    *,
    figures: Mapping[str, GateFigures],
    k: int,
    draws: int,
    seed: int,
) -> Decision:
    """Judge challengers (name → primary metric per user, float64 (n,), same users everywhere).

    `figures` has each challenger's guardrails; one that breaks any is never activated, whatever its metric.

    1. Without a champion the best mean is promoted.
    2. A challenger whose mean is higher than the champion's by more than the margin, with a Holm-adjusted
       paired p-value below `rule.significance`, replaces it; of several the best mean.
    3. Otherwise a challenger with the champion's own recipe, trained on newer data, refreshes it: the model
       is the same, what it knows is not.
    4. Otherwise the champion stays.

    Raises KeyError for a challenger without figures.
    """
    means = {name: float(values.mean()) for name, values in challengers.items()}
    ranked = sorted(means, key=lambda name: -means[name])
    winner, figure = ranked[0], f"{label(rule.metric, k)} ({rule.view} products)"
    bounds = {
        name: check(figures[name], rule, None if champion is None else champion.coverage) for name in ranked
    }
    said = {name: broken for name in ranked if (broken := describe_broken(bounds[name]))}
    if champion is None:
        return _first(ranked, means, figure, bounds, said)
    if champion.values is None:
        reason = (
            f"the champion {champion.name} could not be judged on this test ({champion.problem}); "
            f"decide by hand: `recsys train promote NAME --reason …`"
        )
        return Decision("hold", winner, None, champion.name, reason, guardrails=bounds)

    compared = _against(challengers, champion.values, champion.recipe, draws, seed)
    better = [
        name
        for name in ranked
        if name in compared
        and compared[name].difference > rule.margin
        and compared[name].p_value < rule.significance
    ]
    if allowed := [name for name in better if name not in said]:
        best = allowed[0]
        reason = "; ".join(
            [
                f"{best} beats the champion {champion.name} on {figure} by {_by(compared[best])}",
                *(f"{name} breaks a guardrail ({said[name]})" for name in better[: better.index(best)]),
            ]
        )
        return Decision("promote", winner, best, champion.name, reason, best, compared[best], bounds)
    nearest = better[0] if better else next((name for name in ranked if name in compared), None)
    comparison = None if nearest is None else compared[nearest]
    asked = _why_not(rule, figure, compared, nearest, {name: said[name] for name in better})
    if champion.recipe is not None and champion.newer:
        if champion.recipe not in said:
            reason = f"{champion.recipe} is the champion {champion.name} trained on newer data, and {asked}"
            return Decision(
                "refresh", winner, champion.recipe, champion.name, reason, nearest, comparison, bounds
            )
        why = said[champion.recipe]
        asked += f"; {champion.recipe}, the same trained on newer data, breaks a guardrail ({why})"
    reason = f"{champion.name} keeps serving: {asked}"
    return Decision("hold", winner, None, champion.name, reason, nearest, comparison, bounds)


def _first(
    ranked: Sequence[str],
    means: Mapping[str, float],
    figure: str,
    bounds: Mapping[str, tuple[Bound, ...]],
    said: Mapping[str, str],
) -> Decision:
    """No model serves: the best one that keeps its guardrails, if any does."""
    best = next((name for name in ranked if name not in said), None)
    passed_over = ranked if best is None else ranked[: ranked.index(best)]
    broken = [f"{name} breaks a guardrail ({said[name]})" for name in passed_over]
    if best is None:
        reason = f"no model was serving, and none can: {'; '.join(broken)}"
        return Decision("hold", ranked[0], None, None, reason, guardrails=bounds)
    among = " among those that keep their guardrails" if broken else ""
    found = f"no model was serving; {best} has the highest {figure}{among}: {means[best]:.4f}"
    reason = "; ".join([found, *broken])
    return Decision("promote", ranked[0], best, None, reason, guardrails=bounds)


def _why_not(
    rule: PromotionRule,
    figure: str,
    compared: Mapping[str, Comparison],
    nearest: str | None,
    broken: Mapping[str, str],
) -> str:
    """Why no challenger replaces the champion; `broken`: those that were better, with their guardrails."""
    if broken:
        return "; ".join(
            f"{name} is better on {figure} by {_by(compared[name])}, but breaks a guardrail: {why}"
            for name, why in broken.items()
        )
    short = "" if nearest is None else f"; {nearest} differs by {_by(compared[nearest])}"
    bar = f"by more than {rule.margin:g} with p < {rule.significance:g}"
    return f"no challenger beats it on {figure} {bar}{short}"


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
