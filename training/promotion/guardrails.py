"""Limits that a promotion may not break, whatever its primary metric: the figures beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.evaluation.evaluator import Evaluation
from training.experiment import PromotionRule

__all__ = [
    "GateFigures",
    "GuardrailLimit",
    "check",
    "describe_broken",
    "figures_for_gate",
    "plain_bounds",
    "scoring_time",
]


@dataclass(frozen=True)
class GateFigures:
    """What the guardrails look at, of one model in the view of the rule at the primary k.

    Attributes
    ----------
    coverage
        Share of the catalogue that was shown to anybody, 0 to 1.
    popularity_share
        Mean share of a list that is of the most popular products, 0 to 1; None where unknown.
    empty_rate
        Share of users who got no product at all, 0 to 1.
    scoring_ms
        Milliseconds of processor time to make the longest lists for 1000 users; see `scoring_time`.
    """

    coverage: float
    popularity_share: float | None
    empty_rate: float
    scoring_ms: float


@dataclass(frozen=True)
class GuardrailLimit:
    """One figure beside its limit; `at_least` says on which side of the limit it must be."""

    name: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def ok(self) -> bool:
        """A figure that is unknown breaks nothing; a figure at the limit keeps it."""
        if self.value is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def check(
    figures: GateFigures, rule: PromotionRule, champion_coverage: float | None = None
) -> tuple[GuardrailLimit, ...]:
    """Every guardrail with its value and the limit that holds now."""
    floor = rule.min_coverage
    if champion_coverage is not None:
        floor = max(floor, rule.min_coverage_of_champion * champion_coverage)
    return (
        GuardrailLimit("coverage", figures.coverage, floor, at_least=True),
        GuardrailLimit("popularity_share", figures.popularity_share, rule.max_popularity_share),
        GuardrailLimit("empty_rate", figures.empty_rate, rule.max_empty_rate),
        GuardrailLimit("scoring_ms", figures.scoring_ms, rule.max_scoring_ms),
    )


def describe_broken(bounds: Sequence[GuardrailLimit]) -> str:
    """The guardrails that do not hold, in words; an empty string when all do."""
    units = {"scoring_ms": " ms per 1000 users"}
    names = {"scoring_ms": "scoring time"}
    return ", ".join(
        f"{names.get(one.name, one.name.replace('_', ' '))} {one.value:.4g} is "
        f"{'below' if one.at_least else 'above'} the limit {one.limit:.4g}{units.get(one.name, '')}"
        for one in bounds
        if not one.ok
    )


def plain_bounds(bounds: Sequence[GuardrailLimit]) -> list[dict[str, Any]]:
    """As JSON: name, value, limit, at_least, ok."""
    return [{**asdict(one), "ok": one.ok} for one in bounds]


def figures_for_gate(evaluation: Evaluation, rule: PromotionRule, k: int) -> GateFigures:
    """The figures of one evaluation. Raises ValueError when it has no list length `k`."""
    result, place = evaluation.views[rule.view], evaluation.ks.index(k)
    popular = result.quality.get("popularity_share")
    known = np.empty(0) if popular is None else popular[:, place][np.isfinite(popular[:, place])]
    return GateFigures(
        coverage=float(result.coverage[place]),
        popularity_share=float(known.mean()) if known.size else None,
        empty_rate=result.empty_share,
        scoring_ms=scoring_time(result.seconds, result.users.size),
    )


def scoring_time(seconds: float, users: int) -> float:
    """Milliseconds for 1000 users, or for all where they are fewer: of few, most is the time of the start."""
    return 1e6 * seconds / max(users, 1_000)
