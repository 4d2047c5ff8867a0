"""The verdict of an interleaved experiment: which arm's products visitors choose, at any look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.ab_tests.design import ExperimentDesign
from recsys.domains.recommendations.ab_tests.sample_size import LEVEL
from training.online.ab_verdict import LEAST_USERS, ABVerdict, MetricComparison, Population
from training.online.inference.confidence_sequences import SequentialDifference, compare_with_zero
from training.online.inference.sample_ratio import check_sample_ratio
from training.online.interleaved_outcomes import InterleavedOutcomes

__all__ = ["LEAST_CHOICES", "interleaved_population", "judge_interleaved", "preference"]

LEAST_CHOICES = 20
"""So many visitors must have chosen, for the normal approximation of the mean."""
Values = npt.NDArray[np.float64]


def preference(values: Values, *, planned: int) -> SequentialDifference:
    """The mean preference of visitors, with the parts that go to each arm.

    Parameters
    ----------
    values : float64, shape (visitors,)
        The mean credit of each visitor, for the challenger above 0; at least two visitors.
    planned
        Number of visitors at which the sequence is narrowest.

    Returns
    -------
    SequentialDifference
        In credit per visitor: `control` and `treatment` are what goes to each arm, 0 or more. `relative` is 1
        where all credit is the challenger's, −1 where all is the control's, and None without any.
    """
    compared = compare_with_zero(values, alpha=LEVEL, tuned_for=planned)
    control, challenger = float(-values[values < 0].sum()), float(values[values > 0].sum())
    total, users = control + challenger, values.size
    return SequentialDifference(
        control=control / users,
        treatment=challenger / users,
        difference=compared.difference,
        low=compared.low,
        high=compared.high,
        p_value=compared.p_value,
        relative=(challenger - control) / total if total else None,
    )


def interleaved_population(
    outcomes: InterleavedOutcomes, design: ExperimentDesign, metrics: Sequence[str]
) -> Population:
    """The visitors, who are those of both arms, and their preference in these metrics.

    The sample ratio is that of the first teams by each visitor's first coin.
    """
    control, challenger = design.arms
    counted = int(outcomes.is_final.sum())
    waiting = outcomes.is_final.size - counted
    comparisons = []
    if counted >= 2:
        for metric in metrics:
            values = outcomes.values[metric][outcomes.is_final]
            compared = preference(values, planned=design.planned_units)
            comparisons.append(MetricComparison(metric, challenger.name, compared, 0.0))
    has_coins = sum(outcomes.first_coins) > 0
    return Population(
        counted={control.name: counted, challenger.name: counted},
        waiting={control.name: waiting, challenger.name: waiting},
        in_both=0,
        fallback_share={
            control.name: 0.0,
            challenger.name: outcomes.fallbacks / outcomes.lists if outcomes.lists else 0.0,
        },
        sample_ratio=check_sample_ratio(outcomes.first_coins, (0.5, 0.5)) if has_coins else None,
        comparisons=comparisons,
    )


def judge_interleaved(
    outcomes: InterleavedOutcomes,
    population: Population,
    design: ExperimentDesign,
    *,
    days: float,
    over: bool,
) -> ABVerdict:
    """Return the verdict at this look; as in `ab_verdict.judge`, it holds at all looks together."""
    ratio, (control, challenger) = population.sample_ratio, design.arms
    if ratio is not None and ratio.found:
        return ABVerdict(
            "invalid",
            None,
            f"{ratio.observed[1]:.1%} of the first coins were the challenger's, where half should be (p = "
            f"{ratio.p_value:.2g}, valid at every look): lists are lost by what they contain, so no figure "
            "can be trusted",
        )
    metric, counted = design.metric, population.counted[control.name]
    if counted < LEAST_USERS:
        return ABVerdict(
            "too_early",
            None,
            f"{counted:,} visitors whose {design.outcome_days:g} days are over: expected at least "
            f"{LEAST_USERS}",
        )
    chose = int(np.count_nonzero(outcomes.values[metric][outcomes.is_final]))
    if chose < LEAST_CHOICES:
        return ABVerdict(
            "too_early",
            None,
            f"{chose:,} of {counted:,} visitors {metric} a product that the arms rank differently: expected "
            f"at least {LEAST_CHOICES}",
        )
    (compared,) = (each.compared for each in population.of(metric))
    balance = compared.relative or 0.0
    words = f"{metric}: {abs(balance):.0%} more of the credit of {chose:,} visitors who chose"
    if compared.low > 0:
        return ABVerdict("treatment", challenger.name, f"{challenger.name} is preferred in {words}")
    if compared.high < 0:
        return ABVerdict("control", control.name, f"the control is preferred in {words}")
    if over or days >= design.days:
        return ABVerdict("no_difference", None, f"no preference in {metric} was found")
    return ABVerdict(
        "undecided", None, f"no preference in {metric} was found yet, and the experiment goes on"
    )
