"""Experiments: A/B tests of a model against the serving model: plan, start, follow, stop, keep."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from models.registry import registry, switching
from models.registry.measurement import MeasuredTest, Measurement, read_measurement
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.sample_size import users_needed
from recsys.domains.recommendations.ab_tests.tables import AbTest
from recsys.errors import Invalid
from recsys.settings import get_settings
from serving.console.access import Operator, Viewer
from serving.console.rendering import TEMPLATES, screen_router
from serving.pages.forms import SubmittedForm, redirect, submitted

__all__ = ["ExperimentContent", "ExperimentsContent", "router"]

router = screen_router("experiments")
Name = Annotated[str, Path(max_length=60)]
Metric = Literal["clicked", "carted", "bought", "revenue", "spent"]
METRIC_NAMES = {
    "clicked": "customers who click",
    "carted": "customers who fill the cart",
    "bought": "customers who buy",
    "revenue": "revenue of recommended products per customer",
    "spent": "everything spent per customer",
}
OUTCOMES = {
    "invalid": ("cannot be trusted", "bad"),
    "too_early": ("too early to say", ""),
    "challenger": ("the challenger is better", "good"),
    "control": ("the present model is better", "warn"),
    "no_difference": ("no difference found", ""),
}
"""Each verdict in words, and the kind of its badge."""


class PlannedSample(BaseModel):
    """What a test of these terms needs.

    baseline : share of the customers who do it now; None where it was not measured, or the metric is money.
    needed : customers of both arms together. expected : customers in the planned days, by the last 28.
    """

    metric: str
    share_percent: float
    days: float
    effect_percent: float
    baseline: float | None
    needed: int | None
    expected: int | None
    enough: bool | None
    days_needed: float | None
    explanation: str


class ExperimentRow(BaseModel):
    """One test; verdict and what follows are None before it was measured."""

    name: str
    state: str
    control: str
    challenger: str
    share: float
    metric: str
    metric_name: str
    started_at: datetime
    ended_at: datetime | None
    planned_days: float
    days: float
    reason: str
    conclusion: str | None
    outcome: str | None
    outcome_words: str | None
    outcome_kind: str | None
    verdict: str | None
    mismatch: bool


class ExperimentsContent(BaseModel):
    """The content of the screen. challengers : models that could be tested."""

    running: ExperimentRow | None
    former: list[ExperimentRow]
    control: str | None
    challengers: list[str]
    most_days: float
    sample: PlannedSample
    measured_at: datetime | None


class ArmCount(BaseModel):
    """Lists that one arm got."""

    arm: str
    model: str
    lists: int
    users: int
    guests: int


class ExperimentContent(BaseModel):
    """The content of the page of one test."""

    test: ExperimentRow
    started_by: str
    arms: list[ArmCount]
    measured: MeasuredTest | None
    measured_at: datetime | None
    metric_names: dict[str, str]


class StartForm(BaseModel):
    """The terms of a new test."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$")
    challenger: str = Field(max_length=100)
    share_percent: float = Field(ge=1, le=99)
    days: float = Field(ge=1, le=3660)
    metric: Metric
    reason: str = Field(min_length=3, max_length=500)
    live_control: bool = False


class ConclusionForm(BaseModel):
    """Why a test ends."""

    reason: str = Field(min_length=3, max_length=500)


@router.get("")
def experiments(
    request: Request,
    user: Viewer,
    metric: Metric = "bought",
    share_percent: Annotated[float, Query(ge=1, le=99)] = 50,
    days: Annotated[float, Query(ge=1, le=3660)] = 14,
    effect_percent: Annotated[float, Query(gt=0, le=1000)] = 10,
) -> Response:
    """The test that runs, the plan of the next one, and those that ended."""
    measurement = read_measurement()
    with unit_of_work() as session:
        active = registry.active(session)
        control = None if active is None else active.name
        rows = [_row(test, measurement) for test in ab_tests.listed(session)]
        names = [model.name for model in registry.list_models(session) if model.name != control]
    content = ExperimentsContent(
        running=next((row for row in rows if row.state == "running"), None),
        former=[row for row in rows if row.state != "running"],
        control=control,
        challengers=names[:100],
        most_days=get_settings().intake.exposure_days,
        sample=_sample(measurement, metric, share_percent, days, effect_percent),
        measured_at=None if measurement is None else measurement.measured_at,
    )
    return TEMPLATES.page(
        request,
        "console/experiments.html.j2",
        content,
        metric_names=METRIC_NAMES,
        challenger_options=[(name, name) for name in content.challengers],
    )


@router.get("/{name}")
def experiment(request: Request, user: Viewer, name: Name) -> Response:
    """One test: its verdict, the figures of both arms, and the alarm of unequal samples."""
    measurement = read_measurement()
    measured = None if measurement is None else measurement.test(name)
    with unit_of_work() as session:
        test = ab_tests.get(session, name)
        models = {"control": test.control, "challenger": test.challenger, "fallback": test.control}
        content = ExperimentContent(
            test=_row(test, measurement),
            started_by=test.started_by,
            arms=[
                ArmCount(arm=arm, model=models[arm], **counts)
                for arm, counts in ab_tests.answered(session, test).items()
            ],
            measured=measured,
            measured_at=None if measurement is None else measurement.measured_at,
            metric_names=METRIC_NAMES,
        )
    return TEMPLATES.page(request, "console/experiment.html.j2", content)


@router.post("/start")
def start_experiment(user: Operator, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """Test a model on a share of the visitors."""
    given = form.model(StartForm)
    with unit_of_work() as session:
        ab_tests.start(
            session,
            given.name,
            given.challenger,
            share=given.share_percent / 100,
            days=given.days,
            metric=given.metric,
            salt=secrets.token_hex(16),
            live_control=given.live_control,
            actor=user.actor,
            reason=given.reason,
        )
        # a damaged artifact is refused before the test starts
        registry.load(registry.get(session, given.challenger))
    words = f"{given.challenger} answers {given.share_percent:g}% of the visitors within seconds."
    return redirect(f"/console/experiments/{given.name}", words)


@router.post("/{name}/stop")
def stop_experiment(
    user: Operator, name: Name, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """End a test: the model that serves answers everybody."""
    given = form.model(ConclusionForm)
    with unit_of_work() as session:
        control = ab_tests.stop(session, name, actor=user.actor, conclusion=given.reason).control
    return redirect(f"/console/experiments/{name}", f"The test is stopped; {control} answers everybody.")


@router.post("/{name}/keep")
def keep_challenger(
    user: Operator, name: Name, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """End a test and let its challenger serve."""
    given = form.model(ConclusionForm)
    with unit_of_work() as session:
        challenger = ab_tests.get(session, name).challenger
    # a promotion by force ends the test in the same transaction
    switching.promote(challenger, actor=user.actor, reason=f"{name}: {given.reason}", force=True)
    return redirect(f"/console/experiments/{name}", f"{challenger} serves everybody from now on.")


def _row(test: AbTest, measurement: Measurement | None) -> ExperimentRow:
    measured = None if measurement is None else measurement.test(test.name)
    words, kind = (None, None) if measured is None else OUTCOMES.get(measured.outcome, (measured.outcome, ""))
    return ExperimentRow(
        name=test.name,
        state=test.state,
        control=test.control,
        challenger=test.challenger,
        share=test.share,
        metric=test.metric,
        metric_name=METRIC_NAMES.get(test.metric, test.metric),
        started_at=test.started_at,
        ended_at=test.ended_at,
        planned_days=test.days,
        days=_days(test),
        reason=test.reason,
        conclusion=test.conclusion,
        outcome=None if measured is None else measured.outcome,
        outcome_words=words,
        outcome_kind=kind,
        verdict=None if measured is None else measured.reason,
        mismatch=measured is not None and measured.mismatch,
    )


def _days(test: AbTest) -> float:
    return ((test.ended_at or clock.now()) - test.started_at).total_seconds() / 86_400


def _sample(
    measurement: Measurement | None, metric: str, share_percent: float, days: float, effect_percent: float
) -> PlannedSample:
    span = None if measurement is None else measurement.span(28)
    total = None if span is None else span.current.total
    measured = None if total is None else total.user_shares.get(metric)
    baseline = None if measured is None or not 0 < measured.value < 1 else measured.value
    expected = None if total is None else round(total.users * min(1.0, days / 28))
    needed, explanation = None, ""
    if metric in ("revenue", "spent"):
        explanation = "Money per customer varies too much to say before the test how many customers it takes."
    elif baseline is None:
        explanation = "Nothing was measured yet, so the sample that is needed is not known."
    else:
        try:
            needed = users_needed(
                baseline, effect_percent / 100, (1 - share_percent / 100, share_percent / 100)
            )
        except Invalid as error:
            explanation = error.message
    enough = None if needed is None or expected is None else expected >= needed
    per_day = None if total is None else total.users / 28
    return PlannedSample(
        metric=metric,
        share_percent=share_percent,
        days=days,
        effect_percent=effect_percent,
        baseline=baseline,
        needed=needed,
        expected=expected,
        enough=enough,
        days_needed=None if needed is None or not per_day else needed / per_day,
        explanation=explanation,
    )
