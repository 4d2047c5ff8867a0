"""Guardrails: how much worse an arm may be in a metric before the experiment is stopped for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.online.inference.confidence_sequences import compare_means

__all__ = ["GuardrailBreach", "check_guardrail"]

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GuardrailBreach:
    """A metric in which an arm is worse than the control by more than it may be.

    Attributes
    ----------
    largest_drop
        Share of the control's mean that it may lose, 0 or more and below 1.
    control, treatment
        The means, in the unit of the metric.
    """

    metric: str
    arm: str
    largest_drop: float
    control: float
    treatment: float

    @property
    def reason(self) -> str:
        """What happened, in a sentence without its full stop."""
        return (
            f"guardrail: {self.metric} of the arm {self.arm} is more than {self.largest_drop:.0%} below the "
            f"control ({self.treatment:.4g} against {self.control:.4g} a user, certain at 95% at every look)"
        )


def check_guardrail(
    metric: str,
    arm: str,
    control: Values,
    treatment: Values,
    *,
    largest_drop: float,
    alpha: float,
    tuned_for: float,
) -> GuardrailBreach | None:
    """Return the breach where the whole confidence sequence of treatment − (1 − drop) · control is below 0.

    As the sequence holds at all looks together, a guardrail that is checked daily stops a share of at most
    `alpha` of the experiments whose arm is not that much worse.

    Parameters
    ----------
    metric, arm
        Named in the breach.
    control, treatment : float64, shape (users of the arm,)
        Outcomes of the users of both arms, 0 or more; with fewer than two each nothing is checked.
    largest_drop
        Share of the control's mean, 0 or more and below 1.
    alpha, tuned_for
        As in `confidence_sequences.half_width`.

    Returns
    -------
    GuardrailBreach or None
        None where the guardrail holds or nothing is checked.

    Raises
    ------
    ValueError
        For another drop.
    """
    if not 0 <= largest_drop < 1:
        raise ValueError(f"largest_drop {largest_drop}: expected 0 or more, and less than 1")
    if min(control.size, treatment.size) < 2:
        return None
    compared = compare_means((1 - largest_drop) * control, treatment, alpha=alpha, tuned_for=tuned_for)
    if compared.high >= 0:
        return None
    return GuardrailBreach(metric, arm, largest_drop, float(control.mean()), float(treatment.mean()))
