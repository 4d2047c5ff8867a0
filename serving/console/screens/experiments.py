"""Experiments: arms with other models, rules or settings: plan, start, follow, stop, keep."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.orm import Session

from models.registry import registry
from models.registry.experiments import PlannedSample, keep_arm, plan_sample
from models.registry.experiments import start_experiment as start
from models.registry.measurement import MeasuredTest, Measurement, read_measurement
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.design import (
    CONTROL,
    ArmDesign,
    ArmGuardrail,
    ExperimentDesign,
    ExperimentKind,
    InterleavingCredit,
    Metric,
    ServiceLimits,
    Variant,
)
from recsys.domains.recommendations.ab_tests.outside import OutsideLists, lists_outside
from recsys.domains.recommendations.ab_tests.service import ArmCount
from recsys.domains.recommendations.ab_tests.tables import AbTest
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleSetName, RuleSetOut
from recsys.domains.recommendations.rules.types import SHELF_NAMES
from recsys.errors import Invalid
from recsys.settings import get_settings
from serving.console.access import Operator, Viewer
from serving.console.rendering import TEMPLATES, screen_router
from serving.pages.forms import SubmittedForm, redirect, submitted

__all__ = ["ExperimentContent", "ExperimentsContent", "router"]

router = screen_router("experiments")
Name = Annotated[str, Path(max_length=60)]
METRIC_NAMES = {
    "clicked": "customers who click",
    "carted": "customers who fill the cart",
    "bought": "customers who buy",
    "revenue": "revenue of recommended products per customer",
    "spent": "everything spent per customer",
}
KIND_NAMES = {"arms": "arms (A/B)", "interleaved": "interleaved lists"}
OUTCOMES = {
    "invalid": ("cannot be trusted", "bad"),
    "harmful": ("an arm does harm", "bad"),
    "too_early": ("too early to say", ""),
    "undecided": ("not decided yet", ""),
    "treatment": ("an arm is better", "good"),
    "control": ("the present lists are better", "warn"),
    "no_difference": ("no difference found", ""),
}
"""Each verdict in words, and the kind of its badge."""
_TREATMENT_FIELDS = 3
"""Arms beside the control that the form offers; the API and the command take up to seven."""


class ArmContent(BaseModel):
    """One arm; counts of its lists on its own page only."""

    name: str
    share: float
    variant: str
    lists: int = 0
    users: int = 0
    guests: int = 0
    fallbacks: int = 0
    late: int = 0
    p99_ms: float | None = None


class ExperimentRow(BaseModel):
    """One test; verdict and what follows are None before it was measured."""

    name: str
    state: str
    kind: str
    traffic: float
    control: str
    arms: list[ArmContent]
    unit: str
    placements: list[str]
    outcome_days: float
    guardrails: list[ArmGuardrail]
    limits: ServiceLimits | None
    metric: str
    metric_name: str
    started_at: datetime
    ended_at: datetime | None
    planned_days: float
    days: float
    reason: str
    conclusion: str | None
    kept: str | None
    outcome: str | None
    outcome_words: str | None
    outcome_kind: str | None
    winner: str | None
    verdict: str | None
    mismatch: bool


class ExperimentsContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    challengers, rule_sets
        What could be tested.
    """

    running: list[ExperimentRow]
    former: list[ExperimentRow]
    control: str | None
    challengers: list[str]
    rule_sets: list[RuleSetOut]
    most_days: float
    sample: PlannedSample
    share_percent: float
    measured_at: datetime | None


class ExperimentContent(BaseModel):
    """The content of the page of one test.

    Attributes
    ----------
    kept_set
        Rules of the kept arm that hold for nobody yet.
    outside
        Lists that it does not compare.
    """

    test: ExperimentRow
    kept_set: RuleSetOut | None
    outside: list[OutsideLists]
    started_by: str
    measured: MeasuredTest | None
    measured_at: datetime | None
    metric_names: dict[str, str]


class StartForm(BaseModel):
    """The terms of a new test, without its arms; traffic_percent and credit are of interleaved lists."""

    kind: ExperimentKind = "arms"
    traffic_percent: float = Field(default=100, gt=0, le=100)
    credit: InterleavingCredit = "optimised"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$")
    days: float = Field(ge=1, le=3660)
    outcome_days: float = Field(default=7, gt=0, le=3660)
    metric: Metric
    unit: Literal["user", "session"] = "user"
    planned_units: int = Field(default=10_000, ge=100)
    guardrail_percent: float | None = Field(default=None, ge=0, lt=100)
    late_percent: float | None = Field(default=None, gt=0, lt=100)
    p99_ms: float | None = Field(default=None, gt=0, le=60_000)
    reason: str = Field(min_length=3, max_length=500)


class ArmForm(BaseModel):
    """One arm beside the control."""

    arm_name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,23}$")
    share_percent: float = Field(default=50, ge=1, le=99)
    model: str | None = None
    diversity: float | None = Field(default=None, ge=0, le=1)
    novelty: Literal["any", "new"] | None = None
    without_rules: bool = False
    rule_set: RuleSetName | None = None
    live: bool = False


class ConclusionForm(BaseModel):
    """Why a test ends."""

    reason: str = Field(min_length=3, max_length=500)


class KeepForm(ConclusionForm):
    """Which arm is kept, and why."""

    arm: str = Field(max_length=24)


@router.get("")
def experiments(
    request: Request,
    user: Viewer,
    kind: ExperimentKind = "arms",
    metric: Metric = "bought",
    share_percent: Annotated[float, Query(ge=1, le=99)] = 50,
    days: Annotated[float, Query(ge=1, le=3660)] = 28,
    effect_percent: Annotated[float, Query(gt=0, le=1000)] = 10,
) -> Response:
    """The tests that run, the plan of the next one, and those that ended."""
    with unit_of_work() as session:
        measurement = read_measurement(session)
    share = share_percent / 100
    sample = plan_sample(
        measurement, metric, (1 - share, share), days=days, effect_percent=effect_percent, kind=kind
    )
    with unit_of_work() as session:
        active = registry.active(session)
        control = None if active is None else active.name
        rows = [_row(test, measurement) for test in ab_tests.listed(session)]
        names = [model.name for model in registry.list_models(session) if model.name != control]
        sets = rules.rule_sets(session)
    content = ExperimentsContent(
        running=[row for row in rows if row.state == "running"],
        former=[row for row in rows if row.state != "running"],
        control=control,
        challengers=names[:100],
        rule_sets=sets,
        most_days=get_settings().intake.exposure_days,
        sample=sample,
        share_percent=share_percent,
        measured_at=None if measurement is None else measurement.measured_at,
    )
    return TEMPLATES.page(
        request,
        "console/experiments.html.j2",
        content,
        metric_names=METRIC_NAMES,
        kind_names=KIND_NAMES,
        model_options=[("", "the present model"), *((name, name) for name in content.challengers)],
        set_options=[("", "those for everybody"), *((each.name, f"also {each.name}") for each in sets)],
        placement_names=SHELF_NAMES,
        arm_numbers=range(1, _TREATMENT_FIELDS + 1),
    )


@router.get("/{name}")
def experiment(request: Request, user: Viewer, name: Name) -> Response:
    """One test: its verdict, the figures of its arms, and the alarm of unequal samples."""
    with unit_of_work() as session:
        measurement = read_measurement(session)
        measured = None if measurement is None else measurement.test(name)
        test = ab_tests.get(session, name)
        content = ExperimentContent(
            test=_row(test, measurement, ab_tests.answered(session, test)),
            kept_set=_kept_set(session, test),
            outside=(
                lists_outside(session, ab_tests.design_of(test), clock.now())
                if test.state == "running"
                else []
            ),
            started_by=test.started_by,
            measured=measured,
            measured_at=None if measurement is None else measurement.measured_at,
            metric_names=METRIC_NAMES,
        )
    arm_options = [(arm.name, f"{arm.name}: {arm.variant}") for arm in content.test.arms]
    return TEMPLATES.page(request, "console/experiment.html.j2", content, arm_options=arm_options)


@router.post("/start")
def start_experiment(user: Operator, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """Start a test of one to three arms against the present lists."""
    given = form.model(StartForm)
    treatments = [_treatment(form, number) for number in range(1, _TREATMENT_FIELDS + 1)]
    arms = [arm for arm in treatments if arm is not None]
    if not arms:
        raise Invalid("No arm has a name: fill in at least one.")
    if given.kind == "interleaved":
        if len(arms) > 1:
            raise Invalid("Interleaved lists are of the present lists and one arm: empty the other names.")
        arms = [ArmDesign(name=arms[0].name, share=0.5, variant=arms[0].variant)]
    rest = 1 - sum(arm.share for arm in arms)
    if rest <= 0:
        raise Invalid("The arms have all of the visitors, and the control none: lower their shares.")
    drop = given.guardrail_percent
    guardrails = [] if drop is None else [{"metric": given.metric, "largest_drop": drop / 100}]
    design = ExperimentDesign.of(
        kind=given.kind,
        traffic=given.traffic_percent / 100 if given.kind == "interleaved" else 1.0,
        credit=given.credit,
        arms=[{"name": CONTROL, "share": rest}, *arms],
        metric=given.metric,
        unit=given.unit,
        placements=form.texts("placements"),
        days=given.days,
        outcome_days=min(given.outcome_days, given.days),
        planned_units=given.planned_units,
        guardrails=guardrails,
        limits=_limits(given),
    )
    start(given.name, design, actor=user.actor, reason=given.reason)
    if given.kind == "interleaved":
        words = f"lists of both arms for {given.traffic_percent:g}%"
    else:
        words = ", ".join(f"{arm.name} {100 * arm.share:g}%" for arm in arms)
    return redirect(f"/console/experiments/{given.name}", f"It runs within seconds: {words} of the visitors.")


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
def keep_winner(user: Operator, name: Name, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """End a test and keep an arm."""
    given = form.model(KeepForm)
    _, model = keep_arm(name, given.arm, actor=user.actor, reason=given.reason)
    words = (
        f"{given.arm} is recorded; its settings are for requests and rules to follow."
        if model is None
        else f"{model} serves everybody from now on."
    )
    return redirect(f"/console/experiments/{name}", words)


def _kept_set(session: Session, test: AbTest) -> RuleSetOut | None:
    kept = None if test.winner is None else ab_tests.design_of(test).arm(test.winner)
    if kept is None or kept.variant.rule_set is None:
        return None
    return next((each for each in rules.rule_sets(session) if each.name == kept.variant.rule_set), None)


def _limits(given: StartForm) -> ServiceLimits | None:
    if given.late_percent is None and given.p99_ms is None:
        return None
    late = given.late_percent
    return ServiceLimits(late_share=None if late is None else late / 100, p99_ms=given.p99_ms)


def _treatment(form: SubmittedForm, number: int) -> ArmDesign | None:
    """The arm in the form's fields of that number; None without a name."""
    prefix = f"arm{number}_"
    fields = {
        name.removeprefix(prefix): values for name, values in form.fields.items() if name.startswith(prefix)
    }
    if not SubmittedForm(fields).text("arm_name"):
        return None
    given = SubmittedForm(fields).model(ArmForm)
    return ArmDesign(name=given.arm_name, share=given.share_percent / 100, variant=_variant(given))


def _variant(given: ArmForm) -> Variant:
    try:
        return Variant(
            model=given.model,
            rules=not given.without_rules,
            rule_set=given.rule_set,
            diversity=given.diversity,
            novelty=given.novelty,
            live=given.live,
        )
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Invalid(f"Arm {given.arm_name}: {message}.") from error


def _row(
    test: AbTest, measurement: Measurement | None, counts: Mapping[str, ArmCount] | None = None
) -> ExperimentRow:
    measured = None if measurement is None else measurement.test(test.name)
    words, kind = (None, None) if measured is None else OUTCOMES.get(measured.outcome, (measured.outcome, ""))
    design = ab_tests.design_of(test)
    return ExperimentRow(
        name=test.name,
        state=test.state,
        kind=design.kind,
        traffic=design.traffic,
        control=test.control,
        arms=[
            ArmContent(
                name=arm.name,
                share=arm.share,
                variant=str(arm.variant),
                **({} if counts is None else vars(counts[arm.name])),
            )
            for arm in design.arms
        ],
        unit=design.unit,
        placements=list(design.tested_placements),
        outcome_days=design.outcome_days,
        guardrails=list(design.guardrails),
        limits=design.limits,
        metric=test.metric,
        metric_name=METRIC_NAMES.get(test.metric, test.metric),
        started_at=test.started_at,
        ended_at=test.ended_at,
        planned_days=test.days,
        days=_days(test),
        reason=test.reason,
        conclusion=test.conclusion,
        kept=test.winner,
        outcome=None if measured is None else measured.outcome,
        outcome_words=words,
        outcome_kind=kind,
        winner=None if measured is None else measured.winner,
        verdict=None if measured is None else measured.reason,
        mismatch=measured is not None and measured.mismatch,
    )


def _days(test: AbTest) -> float:
    return ((test.ended_at or clock.now()) - test.started_at).total_seconds() / 86_400
