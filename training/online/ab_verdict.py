"""The verdict of an experiment: each arm against the control, at any look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.ab_tests.design import ExperimentDesign
from recsys.domains.recommendations.ab_tests.sample_size import arm_level
from training.online.ab_outcomes import ArmOutcomes
from training.online.inference.adjustment import cuped, winsorised
from training.online.inference.confidence_sequences import SequentialDifference, compare_means
from training.online.inference.guardrails import GuardrailBreach, check_guardrail
from training.online.inference.sample_ratio import SampleRatio, check_sample_ratio

__all__ = [
    "LEAST_EACH",
    "LEAST_USERS",
    "SHARES",
    "ABVerdict",
    "MetricComparison",
    "Population",
    "judge",
    "population_of",
]

Outcome = Literal["invalid", "harmful", "too_early", "undecided", "treatment", "control", "no_difference"]
Values = npt.NDArray[np.float64]

SHARES = ("clicked", "carted", "bought")
"""Metrics that are shares of users; the others are means of money per user."""
LEAST_USERS = 100
LEAST_EACH = 10
"""So many users in each arm must have done it, and so many not, for the share's normal approximation."""
SKEW_FACTOR = 355
"""A mean is near enough to normal from so many times its squared skewness on users in each arm (Kohavi, Deng,
Longbotham & Xu 2014, "Seven Rules of Thumb for Web Site Experimenters", KDD, rule 7)."""


@dataclass(frozen=True)
class MetricComparison:
    """An arm against the control in one metric.

    Attributes
    ----------
    compared
        Means as they were, and the difference after the adjustment by the past, with its sequence.
    variance_removed
        Share of the variance that the users' past explained, 0 to 1.
    """

    metric: str
    arm: str
    compared: SequentialDifference
    variance_removed: float


@dataclass(frozen=True)
class Population:
    """Users, or sessions, and how the arms differ.

    Attributes
    ----------
    counted
        By arm, those whose outcome is final.
    waiting
        By arm, those whose outcome days go on.
    in_both
        How many had lists of two arms, and are left out.
    fallback_share
        Of the lists of each arm, those by another model than the arm's, 0 to 1.
    sample_ratio
        Of all, counted and waiting; None without any.
    comparisons
        The metric that decides first; none before there are two in each arm.
    """

    counted: dict[str, int]
    waiting: dict[str, int]
    in_both: int
    fallback_share: dict[str, float]
    sample_ratio: SampleRatio | None
    comparisons: list[MetricComparison]

    def of(self, metric: str) -> list[MetricComparison]:
        """Each arm against the control in one metric."""
        return [each for each in self.comparisons if each.metric == metric]


@dataclass(frozen=True)
class ABVerdict:
    """What the experiment says: a word for programs, the arm to keep if there is one, and a sentence."""

    outcome: Outcome
    winner: str | None
    reason: str


def population_of(outcomes: ArmOutcomes, design: ExperimentDesign, metrics: Sequence[str]) -> Population:
    """Compare the arms in these metrics, the deciding one first."""
    names = [arm.name for arm in design.arms]
    totals = np.bincount(outcomes.arm, minlength=len(names))
    final = np.bincount(outcomes.arm[outcomes.is_final], minlength=len(names))
    comparisons = []
    if final.min() >= 2:
        for metric in metrics:
            comparisons += _comparisons(outcomes, design, metric)
    return Population(
        counted=dict(zip(names, final.tolist(), strict=True)),
        waiting=dict(zip(names, (totals - final).tolist(), strict=True)),
        in_both=outcomes.in_both,
        fallback_share={
            name: fallbacks / lists if lists else 0.0
            for name, fallbacks, lists in zip(names, outcomes.fallbacks, outcomes.lists, strict=True)
        },
        sample_ratio=check_sample_ratio(totals.tolist(), _exact(design)) if totals.sum() else None,
        comparisons=comparisons,
    )


def judge(
    outcomes: ArmOutcomes, population: Population, design: ExperimentDesign, *, days: float, over: bool
) -> tuple[ABVerdict, GuardrailBreach | None]:
    """Return the verdict at this look, and the guardrail that an arm breaks.

    Looking again and again costs nothing: all figures hold at all looks together.

    Parameters
    ----------
    population
        Of `outcomes`, by `population_of`.
    days
        Since the start.
    over
        Whether the experiment was stopped.

    Returns
    -------
    verdict : ABVerdict
        What the experiment says.
    breach : GuardrailBreach or None
        None where every arm keeps its guardrails, or the outcomes cannot be judged.
    """
    ratio = population.sample_ratio
    if ratio is not None and ratio.found:
        return ABVerdict(
            "invalid",
            None,
            f"the arms have {_percentages(ratio.observed)} of the users where {_percentages(ratio.expected)} "
            f"were planned (p = {ratio.p_value:.2g}, valid at every look): something besides chance decides "
            "who is counted, so no figure can be trusted",
        ), None
    few = _too_few(outcomes, population, design)
    if few is not None:
        return ABVerdict("too_early", None, few), None
    breach = _breach(outcomes, design)
    if breach is not None:
        return ABVerdict("harmful", None, breach.reason), breach
    return _decide(population.of(design.metric), design, days=days, over=over), None


def _decide(
    primary: Sequence[MetricComparison], design: ExperimentDesign, *, days: float, over: bool
) -> ABVerdict:
    better = [each for each in primary if each.compared.low > 0]
    if better:
        best = max(better, key=lambda each: each.compared.difference)
        return ABVerdict("treatment", best.arm, f"{best.arm} is better in {_in_words(best)}")
    if all(each.compared.high < 0 for each in primary):
        nearest = max(primary, key=lambda each: each.compared.difference)
        return ABVerdict(
            "control", design.control.name, f"no arm is as good as the control: {_in_words(nearest)}"
        )
    widest = max(max(-each.compared.low, each.compared.high) for each in primary)
    bound = f"a difference in {design.metric} above {_amount(design.metric, widest)} a user is ruled out"
    if over or days >= design.days:
        return ABVerdict("no_difference", None, f"no difference was found; {bound}")
    return ABVerdict("undecided", None, f"no difference was found yet, and the experiment goes on; {bound}")


def _comparisons(outcomes: ArmOutcomes, design: ExperimentDesign, metric: str) -> list[MetricComparison]:
    arm, values = _final(outcomes, metric)
    adjusted = cuped(values, outcomes.past[outcomes.is_final], arm)
    compared = []
    for number, treatment in enumerate(design.treatments, 1):
        plain = (values[arm == 0], values[arm == number])
        sequence = compare_means(
            adjusted.values[arm == 0], adjusted.values[arm == number], **_terms(design, treatment.share)
        )
        base = float(plain[0].mean())
        reported = SequentialDifference(
            control=base,
            treatment=float(plain[1].mean()),
            difference=sequence.difference,
            low=sequence.low,
            high=sequence.high,
            p_value=sequence.p_value,
            relative=sequence.difference / base if base else None,
        )
        compared.append(MetricComparison(metric, treatment.name, reported, adjusted.variance_removed))
    return compared


def _breach(outcomes: ArmOutcomes, design: ExperimentDesign) -> GuardrailBreach | None:
    for guardrail in design.guardrails:
        arm, values = _final(outcomes, guardrail.metric)
        for number, treatment in enumerate(design.treatments, 1):
            breach = check_guardrail(
                guardrail.metric,
                treatment.name,
                values[arm == 0],
                values[arm == number],
                largest_drop=guardrail.largest_drop,
                **_terms(design, treatment.share),
            )
            if breach is not None:
                return breach
    return None


def _final(outcomes: ArmOutcomes, metric: str) -> tuple[npt.NDArray[np.int64], Values]:
    values = outcomes.values[metric][outcomes.is_final]
    return outcomes.arm[outcomes.is_final], values if metric in SHARES else winsorised(values)


def _terms(design: ExperimentDesign, share: float) -> dict[str, float]:
    return {
        "alpha": arm_level(len(design.arms)),
        "tuned_for": design.planned_units * (design.control.share + share),
    }


def _exact(design: ExperimentDesign) -> list[float]:
    """Shares whose sum is 1 to the last digit."""
    total = sum(design.shares.values())
    return [share / total for share in design.shares.values()]


def _too_few(outcomes: ArmOutcomes, population: Population, design: ExperimentDesign) -> str | None:
    """Why the normal approximation does not hold yet; None where it does."""
    counts: Mapping[str, int] = population.counted
    if min(counts.values()) < LEAST_USERS:
        of_arms = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        return (
            f"{of_arms} users whose {design.outcome_days:g} days are over: expected at least {LEAST_USERS} "
            "in each arm"
        )
    metric = design.metric
    arm, all_values = _final(outcomes, metric)
    for number, name in enumerate(counts):
        values = all_values[arm == number]
        if metric in SHARES:
            did = int(values.sum())
            if min(did, values.size - did) < LEAST_EACH:
                return (
                    f"{did:,} of the {values.size:,} users of {name} {metric}: expected at least "
                    f"{LEAST_EACH} who did and who did not"
                )
        elif (spread := float(values.std())) > 0:
            skewness = float(((values - values.mean()) ** 3).mean()) / spread**3
            needed = SKEW_FACTOR * skewness**2
            if values.size < needed:
                return (
                    f"{metric} is so uneven among the users of {name} that their mean needs about "
                    f"{needed:,.0f} of them, and there are {values.size:,}"
                )
    return None


def _in_words(each: MetricComparison) -> str:
    compared, metric = each.compared, each.metric
    return (
        f"{metric}: {_amount(metric, compared.difference)} a user more than the control "
        f"(95% at every look: {_amount(metric, compared.low)} to {_amount(metric, compared.high)})"
    )


def _amount(metric: str, value: float) -> str:
    return f"{100 * value:.2f} percentage points" if metric in SHARES else f"{value:.2f}"


def _percentages(shares: Sequence[float]) -> str:
    return " / ".join(f"{share:.1%}" for share in shares)
