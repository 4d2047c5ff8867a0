"""What came of experiments so far: their arms compared, and a verdict that may be read every day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.design import METRICS, ExperimentDesign
from recsys.domains.recommendations.ab_tests.limits import limits_broken
from recsys.domains.recommendations.ab_tests.tables import AbTest
from training.online.ab_outcomes import read_sessions, read_users
from training.online.ab_verdict import SHARES, ABVerdict, Population, judge, population_of
from training.online.interleaved_outcomes import read_interleaved
from training.online.interleaved_verdict import interleaved_population, judge_interleaved

__all__ = ["AbResult", "enforce_guardrails", "enforce_limits", "read_results"]


@dataclass(frozen=True)
class AbResult:
    """What came of an experiment so far.

    Attributes
    ----------
    control
        The model that served when the experiment began.
    since, until
        The time that is judged.
    days
        Its length.
    units
        Those that were assigned: users, or sessions; all visitors, of interleaved lists. The verdict is about
        them.
    guests
        Sessions without a log-in beside assigned users; None for all other units. A guest who logs in may
        count as both, in different arms: few do, and it can only hide a difference.
    breached
        Whether an arm breaks a guardrail; `verdict` says which.
    """

    name: str
    control: str
    design: ExperimentDesign
    state: str
    winner: str | None
    since: datetime
    until: datetime
    days: float
    units: Population
    guests: Population | None
    verdict: ABVerdict
    breached: bool


def read_results(session: Session, *, since: datetime, until: datetime) -> list[AbResult]:
    """The experiments that ran within [since, until), newest first, each from its own beginning."""
    return [
        _result(session, test, min(until, test.ended_at or until))
        for test in ab_tests.listed(session)
        if test.started_at < until and (test.ended_at is None or test.ended_at > since)
    ]


def enforce_guardrails(session: Session, results: list[AbResult]) -> list[str]:
    """Stop each running experiment whose arm breaks a guardrail.

    The reason is the test's conclusion, and stands in the history of models.

    Returns
    -------
    list of str
        The names of those that were stopped.
    """
    stopped = []
    for result in results:
        if result.breached and result.state == "running":
            ab_tests.stop(session, result.name, actor="guardrail", conclusion=result.verdict.reason)
            stopped.append(result.name)
    return stopped


def enforce_limits(session: Session, now: datetime) -> list[str]:
    """Stop each running experiment whose arm is late, slow or fails; the names of those that were stopped."""
    stopped = []
    for test in ab_tests.running(session):
        started_at = ab_tests.get(session, test.name).started_at
        reason = limits_broken(session, test, started_at=started_at, now=now)
        if reason is not None:
            ab_tests.stop(session, test.name, actor="guardrail", conclusion=reason)
            stopped.append(test.name)
    return stopped


def _result(session: Session, test: AbTest, until: datetime) -> AbResult:
    design = ab_tests.design_of(test)
    if design.kind == "interleaved":
        return _interleaved_result(session, test, design, until)
    by_user = design.unit == "user"
    given = {"since": test.started_at, "until": until}
    if by_user:
        outcomes = read_users(session, test.name, design, **given)
    else:
        outcomes = read_sessions(session, test.name, design, everybody=True, **given)
    units = population_of(outcomes, design, _metrics(design, list(outcomes.values)))
    guests = None
    if by_user:
        of_guests = read_sessions(session, test.name, design, everybody=False, **given)
        guests = population_of(of_guests, design, _metrics(design, list(SHARES)))
    days = (until - test.started_at) / timedelta(days=1)
    verdict, breach = judge(outcomes, units, design, days=days, over=test.state != "running")
    return _as_result(test, design, until, units, guests, verdict, breached=breach is not None)


def _interleaved_result(
    session: Session, test: AbTest, design: ExperimentDesign, until: datetime
) -> AbResult:
    outcomes = read_interleaved(session, test.name, design, since=test.started_at, until=until)
    units = interleaved_population(outcomes, design, _metrics(design, list(outcomes.values)))
    days = (until - test.started_at) / timedelta(days=1)
    verdict = judge_interleaved(outcomes, units, design, days=days, over=test.state != "running")
    return _as_result(test, design, until, units, None, verdict, breached=False)


def _as_result(
    test: AbTest,
    design: ExperimentDesign,
    until: datetime,
    units: Population,
    guests: Population | None,
    verdict: ABVerdict,
    *,
    breached: bool,
) -> AbResult:
    return AbResult(
        name=test.name,
        control=test.control,
        design=design,
        state=test.state,
        winner=test.winner,
        since=test.started_at,
        until=until,
        days=(until - test.started_at) / timedelta(days=1),
        units=units,
        guests=guests,
        verdict=verdict,
        breached=breached,
    )


def _metrics(design: ExperimentDesign, known: list[str]) -> list[str]:
    return sorted((each for each in METRICS if each in known), key=lambda each: each != design.metric)
