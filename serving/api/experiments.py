"""Experiments over HTTP, for administrators: plan, start, follow, stop, keep."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from models.registry.experiments import PlannedSample, keep_arm, plan_sample, start_experiment
from models.registry.measurement import MeasuredTest, Measurement, read_measurement
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.design import ArmDesign, ExperimentDesign, ExperimentKind, Metric
from recsys.domains.recommendations.ab_tests.outside import OutsideLists, lists_outside
from recsys.domains.recommendations.ab_tests.tables import AbTest
from recsys.errors import Invalid
from recsys.web.dependencies import AdminUser
from recsys.web.errors import problem_responses
from recsys.web.validators import Input

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/admin/experiments", tags=["experiments"])
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$", examples=["als-against-knn"])]
Reason = Annotated[str, Field(min_length=3, max_length=500, pattern=r"\S", examples=["better offline"])]


class ExperimentIn(Input):
    """A new experiment. The first arm of the design is the control."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$", examples=["als-against-knn"])]
    reason: Reason
    design: ExperimentDesign


class ConclusionIn(Input):
    """Why an experiment ends."""

    reason: Reason


class KeptArmIn(ConclusionIn):
    """Which arm is kept, and why."""

    arm: Annotated[str, Field(max_length=24, examples=["challenger"])]


class ArmCountOut(BaseModel):
    """Lists of one arm; `fallbacks` are by another model than the arm's, `late` missed the deadline."""

    arm: ArmDesign
    lists: int
    users: int
    guests: int
    fallbacks: int
    late: int
    p99_ms: Annotated[float | None, Field(description="99th percentile of the time of a list, in ms.")]


class ExperimentOut(BaseModel):
    """One experiment; `measured` is null before it was measured."""

    name: str
    state: str
    control: Annotated[str, Field(description="The model that served when it began.")]
    design: ExperimentDesign
    started_at: datetime
    started_by: str
    reason: str
    ended_at: datetime | None
    ended_by: str | None
    conclusion: str | None
    winner: Annotated[str | None, Field(description="The arm that was kept.")]
    measured: MeasuredTest | None


class StartedExperimentOut(ExperimentOut):
    """An experiment with the lists that it does not compare; none after its end."""

    outside: list[OutsideLists]


class ExperimentDetailOut(StartedExperimentOut):
    """One experiment with the lists of its arms."""

    answered: list[ArmCountOut]


class KeptOut(ExperimentOut):
    """An experiment that ended; `serving` is the model that serves everybody now."""

    serving: str


@router.get("", responses=problem_responses(401, 403, 503))
def list_experiments(admin: AdminUser) -> list[ExperimentOut]:
    """All experiments, newest first, with the last measurement of each."""
    with unit_of_work() as session:
        measurement = read_measurement(session)
        return [_out(row, measurement) for row in ab_tests.listed(session)]


@router.post("", status_code=201, responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503))
def start_new_experiment(admin: AdminUser, given: ExperimentIn) -> StartedExperimentOut:
    """Start an experiment; servers follow within seconds; 409 where another has one of its placements.

    `outside` has the lists of its placements that it will not compare, such as interleaved lists under a cap.
    """
    row = start_experiment(given.name, given.design, actor=admin.actor, reason=given.reason)
    with unit_of_work() as session:
        outside = lists_outside(session, given.design, clock.now())
    return StartedExperimentOut(**vars(_out(row, None)), outside=outside)


@router.get("/plan", responses=problem_responses(401, 403, 422, 503))
def plan_experiment(
    admin: AdminUser,
    kind: ExperimentKind = "arms",
    metric: Metric = "bought",
    share: Annotated[
        list[Annotated[float, Field(gt=0, lt=1)]] | None,
        Query(max_length=7, description="Share of an arm beside the control; repeat it. Default: 0.5."),
    ] = None,
    days: Annotated[float, Query(gt=0, le=3660)] = 28,
    effect_percent: Annotated[
        float,
        Query(gt=0, le=1000, description="The difference to find, of interleaved lists the preference."),
    ] = 10,
    baseline: Annotated[
        float | None, Query(gt=0, le=1e9, description="Mean of the metric now; default: as measured.")
    ] = None,
    deviation: Annotated[
        float | None, Query(gt=0, le=1e9, description="Standard deviation of money between users.")
    ] = None,
) -> PlannedSample:
    """How many users an experiment needs, looked at every day, and whether the days bring them."""
    treatments = share or [0.5]
    control = 1 - sum(treatments)
    if control <= 0:
        raise Invalid(
            "share: the arms leave nothing for the control; their sum must be below 1", field="share"
        )
    with unit_of_work() as session:
        measurement = read_measurement(session)
    return plan_sample(
        measurement,
        metric,
        [control, *treatments],
        days=days,
        effect_percent=effect_percent,
        baseline=baseline,
        deviation=deviation,
        kind=kind,
    )


@router.get("/{name}", responses=problem_responses(401, 403, 404, 422, 503))
def get_experiment(admin: AdminUser, name: Name) -> ExperimentDetailOut:
    """One experiment: its design, the lists of its arms, and the verdict when it was last measured."""
    with unit_of_work() as session:
        row = ab_tests.get(session, name)
        counts = ab_tests.answered(session, row)
        arms = [ArmCountOut(arm=arm, **vars(counts[arm.name])) for arm in ab_tests.design_of(row).arms]
        is_running, design = row.state == "running", ab_tests.design_of(row)
        return ExperimentDetailOut(
            **vars(_out(row, read_measurement(session))),
            answered=arms,
            outside=lists_outside(session, design, clock.now()) if is_running else [],
        )


@router.post("/{name}/stop", responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503))
def stop_experiment(admin: AdminUser, name: Name, given: ConclusionIn) -> ExperimentOut:
    """Stop an experiment: the serving model answers everybody within seconds."""
    with unit_of_work() as session:
        row = ab_tests.stop(session, name, actor=admin.actor, conclusion=given.reason)
        return _out(row, read_measurement(session))


@router.post("/{name}/keep", responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503))
def keep_experiment_arm(admin: AdminUser, name: Name, given: KeptArmIn) -> KeptOut:
    """End an experiment and keep an arm: its model serves everybody. Other settings are recorded only."""
    row, model = keep_arm(name, given.arm, actor=admin.actor, reason=given.reason)
    with unit_of_work() as session:
        measurement = read_measurement(session)
    return KeptOut(**vars(_out(row, measurement)), serving=model or row.control)


def _out(row: AbTest, measurement: Measurement | None) -> ExperimentOut:
    return ExperimentOut(
        name=row.name,
        state=row.state,
        control=row.control,
        design=ab_tests.design_of(row),
        started_at=row.started_at,
        started_by=row.started_by,
        reason=row.reason,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        conclusion=row.conclusion,
        winner=row.winner,
        measured=None if measurement is None else measurement.test(row.name),
    )
