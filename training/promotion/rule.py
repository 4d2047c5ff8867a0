"""The rule by which a challenger replaces the champion, as one pure function of per-user figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.evaluation.significance import (
    PairedDifference,
    compare,
    format_p,
    holm_adjusted,
    smallest_difference,
)
from training.experiment import PromotionRule
from training.promotion.guardrails import GateFigures, GuardrailLimit, check, describe_broken

__all__ = ["Champion", "PromotionDecision", "decide", "safe_order"]

SAFE = ("hybrid", "popularity")

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Champion:
    """The model that serves now, judged on the same fold.

    Attributes
    ----------
    values : float64, shape (n,), or None
        Its primary metric per user; None when it could not be judged: `problem` says why.
    recipe
        Name of this run's challenger with the same algorithm, seed and parameters, if there is one.
    newer
        Whether this run learned from other data than the champion did.
    problem
        Why it could not be judged; empty where it could.
    """

    name: str
    values: Values | None
    recipe: str | None = None
    newer: bool = False
    problem: str = ""
    coverage: float | None = None
    """Its catalogue coverage on this fold at the primary k, where known: a guardrail looks at it."""
    other: Values | None = None
    """The same metric of the other question, float64 (m,), where known."""


@dataclass(frozen=True)
class PromotionDecision:
    """What to do and why. `winner`: the best challenger; `promoted`: the one to activate, None to hold."""

    action: Literal["promote", "refresh", "hold"]
    winner: str
    promoted: str | None
    champion: str | None
    reason: str
    challenger: str | None = None
    """The model that replaced the champion or came nearest to it."""
    comparison: PairedDifference | None = None
    """That challenger against the champion; its p-value is Holm-adjusted."""
    guardrails: Mapping[str, tuple[GuardrailLimit, ...]] = field(default_factory=dict)
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
    safe: Sequence[str] = (),
    problem: str = "",
    others: Mapping[str, Values] | None = None,
) -> PromotionDecision:
    """Judge challengers by the rule.

    0. A test of fewer than `rule.min_users` users decides nothing: without a champion the first of `safe`
       serves, else the champion stays, or is refreshed as under 3.
    1. Without a champion the first of `safe` is promoted, unless another one is significantly better: then
       that one, of several the best mean.
    2. A challenger whose mean is higher than the champion's by more than the margin, with a Holm-adjusted
       paired p-value below `rule.significance`, in either question, and not significantly lower in the other,
       replaces it; of several the best mean.
    3. Otherwise a challenger with the champion's own recipe, trained on newer data, refreshes it: the model
       is the same, what it knows is not.
    4. Otherwise the champion stays.

    Parameters
    ----------
    challengers : float64, shape (n,), by name
        Their primary metric per user, the same users everywhere.
    champion
        The model that serves, judged on the same users; None where none serves.
    figures
        Each challenger's guardrails; a model that breaks one is never activated.
    k
        Cut-off of the metric, for the words of the reason.
    draws, seed
        Of the tests.
    safe
        Challengers in the order in which they serve where the test decides nothing; default: by metric.
    problem
        Why nobody could be asked, where nobody was.
    others : float64, shape (m,), by name
        The metric of the other question (new products beside any product), like `challengers`.

    Raises
    ------
    KeyError
        For a challenger without figures.
    """
    means = {name: float(values.mean()) if values.size else 0.0 for name, values in challengers.items()}
    ranked = sorted(means, key=lambda name: -means[name])
    winner, figure = ranked[0], f"{label(rule.metric, k)} ({rule.view} products)"
    bounds = {
        name: check(figures[name], rule, None if champion is None else champion.coverage) for name in ranked
    }
    broken = {name: violation for name in ranked if (violation := describe_broken(bounds[name]))}
    weak = _weakness(challengers, champion, ranked, rule, figure, problem)
    if champion is None and weak:
        return _safe_first(safe or ranked, winner, weak, bounds, broken)
    if champion is None:
        preferred = _preferred(safe, broken, challengers, rule, draws, seed)
        return _first(ranked, means, figure, bounds, broken, preferred)
    if champion.values is None:
        reason = (
            f"the champion {champion.name} could not be judged on this test ({champion.problem}); "
            f"decide by hand: `recsys train promote NAME --reason …`"
        )
        return PromotionDecision("hold", winner, None, champion.name, reason, guardrails=bounds)

    if weak:
        return _keep(champion, winner, weak, None, None, bounds, broken)
    compared = _against(challengers, champion.values, champion.recipe, draws, seed)
    beside: dict[str, PairedDifference] = {}
    if others and champion.other is not None and champion.other.size >= rule.min_users:
        beside = _against(others, champion.other, champion.recipe, draws, seed)
    better = [
        name
        for name in ranked
        if name in compared
        and not any(_lower(each, rule) for each in (compared[name], beside.get(name)))
        and any(_higher(each, rule) for each in (compared[name], beside.get(name)))
    ]
    if allowed := [name for name in better if name not in broken]:
        best = allowed[0]
        by = f"on {figure} by {_by(compared[best])}"
        if not _higher(compared[best], rule):
            question = "new" if rule.view == "all" else "all"
            other = f"{label(rule.metric, k)} ({question} products)"
            by = f"on {other} by {_by(beside[best])}, and differs {by}"
        reason = "; ".join(
            [
                f"{best} beats the champion {champion.name} {by}",
                *(f"{name} breaks a guardrail ({broken[name]})" for name in better[: better.index(best)]),
            ]
        )
        return PromotionDecision("promote", winner, best, champion.name, reason, best, compared[best], bounds)
    nearest = better[0] if better else next((name for name in ranked if name in compared), None)
    comparison = None if nearest is None else compared[nearest]
    asked = _why_not(rule, figure, compared, nearest, {name: broken[name] for name in better})
    return _keep(champion, winner, asked, nearest, comparison, bounds, broken)


def _higher(comparison: PairedDifference | None, rule: PromotionRule) -> bool:
    return (
        comparison is not None
        and comparison.difference > rule.margin
        and comparison.p_value < rule.significance
    )


def _lower(comparison: PairedDifference | None, rule: PromotionRule) -> bool:
    return comparison is not None and comparison.difference < 0 and comparison.p_value < rule.significance


def _preferred(
    safe: Sequence[str],
    broken: Mapping[str, str],
    challengers: Mapping[str, Values],
    rule: PromotionRule,
    draws: int,
    seed: int,
) -> str | None:
    """The first of `safe` that keeps its guardrails, unless another one is significantly better."""
    first = next((name for name in safe if name not in broken), None)
    if first is None:
        return None
    rivals = {name: values for name, values in challengers.items() if name not in broken and name != first}
    compared = _against(rivals, challengers[first], None, draws, seed)
    return None if any(_higher(each, rule) for each in compared.values()) else first


def safe_order(algorithms: Mapping[str, str]) -> list[str]:
    """Names of models by what serves safely without a test.

    The hybrid falls back on the usual leader of such shops by itself; popularity is right for nobody in
    particular and wrong for nobody. All others follow in their order.

    Parameters
    ----------
    algorithms
        The algorithm of each model, by name.
    """
    place = {algorithm: number for number, algorithm in enumerate(SAFE)}
    return sorted(algorithms, key=lambda name: place.get(algorithms[name], len(SAFE)))


def _weakness(
    challengers: Mapping[str, Values],
    champion: Champion | None,
    ranked: Sequence[str],
    rule: PromotionRule,
    figure: str,
    problem: str,
) -> str:
    """Why the test decides nothing, with its power; an empty string where it has enough users."""
    best = challengers[ranked[0]]
    if best.size >= rule.min_users:
        return ""
    if problem or not best.size:
        return f"no test was possible: {problem or 'nobody could be asked'}"
    users = "1 user" if best.size == 1 else f"{best.size} users"
    weak = f"the test has {users}, fewer than the {rule.min_users} that decide"
    rival = champion.values if champion is not None and champion.values is not None else None
    if rival is None and len(ranked) > 1:
        rival = challengers[ranked[1]]
    smallest = None if rival is None else smallest_difference(best - rival)
    if smallest:
        weak += f" (with 80% power it finds a difference in {figure} of {smallest:.4f} or more)"
    return weak


def _safe_first(
    safe: Sequence[str],
    winner: str,
    weak: str,
    bounds: Mapping[str, tuple[GuardrailLimit, ...]],
    broken: Mapping[str, str],
) -> PromotionDecision:
    """No model serves and the test decides nothing: the safest model that keeps its guardrails."""
    best = next((name for name in safe if name not in broken), None)
    if best is None:
        violations = "; ".join(f"{name} breaks a guardrail ({broken[name]})" for name in safe)
        reason = f"{weak}; no model was serving, and none can: {violations}"
        return PromotionDecision("hold", winner, None, None, reason, guardrails=bounds)
    reason = (
        f"{weak}; no model was serving, so {best} serves as the safe default, not as the winner of a test"
    )
    return PromotionDecision("promote", winner, best, None, reason, guardrails=bounds)


def _keep(
    champion: Champion,
    winner: str,
    asked: str,
    nearest: str | None,
    comparison: PairedDifference | None,
    bounds: Mapping[str, tuple[GuardrailLimit, ...]],
    broken: Mapping[str, str],
) -> PromotionDecision:
    """The champion serves on: its own recipe on newer data where there is one, else as it is."""
    if champion.recipe is not None and champion.newer:
        if champion.recipe not in broken:
            reason = f"{champion.recipe} is the champion {champion.name} trained on newer data, and {asked}"
            return PromotionDecision(
                "refresh", winner, champion.recipe, champion.name, reason, nearest, comparison, bounds
            )
        why = broken[champion.recipe]
        asked += f"; {champion.recipe}, the same trained on newer data, breaks a guardrail ({why})"
    reason = f"{champion.name} keeps serving: {asked}"
    return PromotionDecision("hold", winner, None, champion.name, reason, nearest, comparison, bounds)


def _first(
    ranked: Sequence[str],
    means: Mapping[str, float],
    figure: str,
    bounds: Mapping[str, tuple[GuardrailLimit, ...]],
    broken: Mapping[str, str],
    preferred: str | None,
) -> PromotionDecision:
    """No model serves: `preferred`, else the best model that keeps its guardrails, if any does."""
    best = next((name for name in ranked if name not in broken), None)
    if best is not None and preferred is not None and preferred != best:
        reason = (
            f"no model was serving; {preferred} has a rule for each question, and {best}, the highest on "
            f"{figure}, is not significantly better ({means[best]:.4f} against {means[preferred]:.4f})"
        )
        return PromotionDecision("promote", ranked[0], preferred, None, reason, guardrails=bounds)
    passed_over = ranked if best is None else ranked[: ranked.index(best)]
    violations = [f"{name} breaks a guardrail ({broken[name]})" for name in passed_over]
    if best is None:
        reason = f"no model was serving, and none can: {'; '.join(violations)}"
        return PromotionDecision("hold", ranked[0], None, None, reason, guardrails=bounds)
    among = " among those that keep their guardrails" if violations else ""
    found = f"no model was serving; {best} has the highest {figure}{among}: {means[best]:.4f}"
    reason = "; ".join([found, *violations])
    return PromotionDecision("promote", ranked[0], best, None, reason, guardrails=bounds)


def _why_not(
    rule: PromotionRule,
    figure: str,
    compared: Mapping[str, PairedDifference],
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
) -> dict[str, PairedDifference]:
    """Each challenger against the champion; the p-values are adjusted for there being several."""
    names = [name for name in challengers if name != recipe]
    raw = [compare(challengers[name], champion, draws=draws, seed=seed) for name in names]
    return dict(zip(names, holm_adjusted(raw), strict=True))


def _by(comparison: PairedDifference) -> str:
    low, high = comparison.low, comparison.high
    p_value = format_p(comparison.p_value, comparison.floor)
    return f"{comparison.difference:+.4f} (95% interval {low:+.4f} to {high:+.4f}, {p_value})"
