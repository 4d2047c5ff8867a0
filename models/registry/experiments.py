"""Starts experiments, plans their samples and keeps their winners, for commands, API and console."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from pydantic import BaseModel

from models.registry import registry, switching
from models.registry.measurement import Measurement
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.design import (
    COUNTED,
    ExperimentDesign,
    ExperimentKind,
    Metric,
)
from recsys.domains.recommendations.ab_tests.sample_size import users_needed, visitors_needed
from recsys.domains.recommendations.ab_tests.tables import AbTest
from recsys.errors import Conflict, Invalid, NotFound

__all__ = ["PlannedSample", "keep_arm", "plan_sample", "start_experiment"]

_MEASURED_DAYS = 28


class PlannedSample(BaseModel):
    """What an experiment of these terms needs.

    Of arms, `effect_percent` is the difference to find in percent of the baseline; of interleaved lists, by
    how many percent more of those who choose are for the better arm. `baseline` is the mean of the outcome
    now, null where it was not measured and not given. `needed` is the number of users of all arms together;
    where it is null, `explanation` says why, and is empty otherwise. `expected` is the number of users in the
    planned days, by the last 28 days, and `days_needed` is the number of days for `needed` users, by the
    same; both are null without a measurement.
    """

    kind: ExperimentKind = "arms"
    metric: Metric
    shares: list[float]
    days: float
    effect_percent: float
    baseline: float | None
    needed: int | None
    expected: int | None
    enough: bool | None
    days_needed: float | None
    explanation: str


def plan_sample(
    measurement: Measurement | None,
    metric: Metric,
    shares: Sequence[float],
    *,
    days: float,
    effect_percent: float,
    baseline: float | None = None,
    deviation: float | None = None,
    kind: ExperimentKind = "arms",
) -> PlannedSample:
    """Compute the sample that finds a difference of `effect_percent`, as `PlannedSample` explains it.

    Parameters
    ----------
    measurement
        Where the baseline comes from, unless it is given.
    shares
        Of the arms, the control first.
    baseline, deviation
        Mean and standard deviation of the outcome between users; money needs both, a share the mean at most.
    """
    span = None if measurement is None else measurement.span(_MEASURED_DAYS)
    total = None if span is None else span.current.total
    if baseline is None and total is not None and metric in total.user_shares:
        measured = total.user_shares[metric].value
        baseline = measured if 0 < measured < 1 else None
    needed, explanation = None, ""
    if kind == "interleaved" and metric not in COUNTED:
        explanation = f"Interleaved lists are compared by {', '.join(COUNTED)}."
    elif metric in ("revenue", "spent") and (deviation is None or baseline is None):
        explanation = (
            "Money per customer varies too much to say before the test how many customers it takes, unless "
            "its mean and its standard deviation are given."
        )
    elif baseline is None:
        explanation = "Nothing was measured yet, so the sample that is needed is not known."
    else:
        try:
            needed = (
                visitors_needed(baseline, effect_percent / 100)
                if kind == "interleaved"
                else users_needed(baseline, effect_percent / 100, shares, deviation=deviation)
            )
        except Invalid as error:
            explanation = error.message
    per_day = None if total is None else total.users / _MEASURED_DAYS
    expected = None if total is None else round(total.users * min(1.0, days / _MEASURED_DAYS))
    return PlannedSample(
        kind=kind,
        metric=metric,
        shares=list(shares),
        days=days,
        effect_percent=effect_percent,
        baseline=baseline,
        needed=needed,
        expected=expected,
        enough=None if needed is None or expected is None else expected >= needed,
        days_needed=None if needed is None or not per_day else needed / per_day,
        explanation=explanation,
    )


def start_experiment(name: str, design: ExperimentDesign, *, actor: str, reason: str) -> AbTest:
    """Start an experiment with a salt of its own.

    Returns
    -------
    AbTest
        Its row, detached.

    Raises
    ------
    Invalid, NotFound, Conflict
        As `ab_tests.service.start`.
    Unavailable
        For a model with a damaged artifact: then none starts.
    """
    with unit_of_work() as session:
        row = ab_tests.start(
            session, name, design, salt=secrets.token_hex(16), actor=actor, reason=reason.strip()
        )
        for model in design.models:
            registered = registry.get(session, model)
            registry.load(registered)
            registry.check_published(registered)
        return row


def keep_arm(name: str, arm: str, *, actor: str, reason: str) -> tuple[AbTest, str | None]:
    """End a running experiment and keep an arm.

    A model begins to serve everybody, in the same transaction that ends the test. Other settings of the arm
    are recorded with the test, and are for the shop's requests and rules to follow: the model is then None.

    Returns
    -------
    test : AbTest
        Its row.
    model : str or None
        The model that serves from now on.

    Raises
    ------
    NotFound
        For an unknown test or arm.
    Conflict
        When it does not run, or when another runs that the arm's model would take the control from.
    Invalid
        Without a reason.
    Unavailable
        For a model with a damaged artifact: then the experiment goes on.
    """
    if not reason.strip():
        raise Invalid("--reason is empty; say why in a few words, the row of the test keeps it")
    with unit_of_work() as session:
        row = ab_tests.get(session, name)
        design = ab_tests.design_of(row)
        kept = design.arm(arm)
        if kept is None:
            raise NotFound(f"no arm of {name} is named {arm!r}; there are: {', '.join(design.shares)}")
        if row.state != "running":
            raise Conflict(f"the A/B test {name} was stopped already, by {row.ended_by}: {row.conclusion}")
        model = kept.variant.model
        if model is None:
            return ab_tests.stop(session, name, actor=actor, conclusion=reason, winner=arm), None
        others = [test.name for test in ab_tests.running(session) if test.name != name]
        if others:
            raise Conflict(
                f"{model} would begin to serve everybody, and {', '.join(others)} would lose the control and "
                f"end: decide {'it' if len(others) == 1 else 'them'} first, or end {name} with `recsys serve "
                f"ab-test stop {name}` and promote {model} later"
            )
    # a promotion by force ends the test in the same transaction
    switching.promote(model, actor=actor, reason=f"{name}: {reason}", force=True)
    with unit_of_work() as session:
        return ab_tests.note_winner(session, name, arm), model
