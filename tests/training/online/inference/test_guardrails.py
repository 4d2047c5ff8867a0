"""Guardrails: quiet in experiments that do no harm, and raised by a planted harm."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.online.inference.guardrails import check_guardrail


def stopped(chance: np.random.Generator, treatment: float, drop: float) -> bool:
    control = (chance.random(5_600) < 0.2).astype(np.float64)
    treated = (chance.random(5_600) < treatment).astype(np.float64)
    return any(
        check_guardrail(
            "bought", "als", control[:end], treated[:end], largest_drop=drop, alpha=0.05, tuned_for=2_000
        )
        for end in range(200, 5_601, 200)
    )


def test_an_arm_that_is_as_bad_as_it_may_be_is_rarely_stopped_and_a_worse_one_is() -> None:
    chance, runs = np.random.default_rng(6), 1_000
    allowed = sum(stopped(chance, 0.18, 0.10) for _ in range(runs))
    assert allowed <= int(stats.binom.ppf(0.999, runs, 0.05))
    assert sum(stopped(chance, 0.12, 0.10) for _ in range(100)) >= 99


def test_a_breach_says_what_happened() -> None:
    control, treated = np.repeat([0.0, 1.0], 500), np.repeat([0.0, 1.0], [900, 100])
    breach = check_guardrail("bought", "als", control, treated, largest_drop=0.1, alpha=0.05, tuned_for=2_000)
    assert breach is not None
    assert "bought of the arm als is more than 10% below the control (0.1 against 0.5" in breach.reason
    assert (
        check_guardrail("bought", "als", control[:1], treated, largest_drop=0, alpha=0.05, tuned_for=9)
        is None
    )
    with pytest.raises(ValueError, match="largest_drop"):
        check_guardrail("bought", "als", control, treated, largest_drop=1.0, alpha=0.05, tuned_for=9)
