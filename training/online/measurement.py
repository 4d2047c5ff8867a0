"""Measures what followed displayed recommendations, and A/B tests, for pages that display the figures."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from models.registry.measurement import (
    MeasuredArm,
    MeasuredDifference,
    MeasuredGroup,
    MeasuredPeriod,
    MeasuredRate,
    MeasuredSpan,
    MeasuredTest,
    Measurement,
)
from training.online.ab_results import AbResult, enforce_guardrails, enforce_limits, read_results
from training.online.impressions import read_impressions
from training.online.metrics import Group, Impressions, by, summary
from training.online.paid_lines import copy_paid_lines

__all__ = ["SPANS", "measure", "measured_test"]

SPANS = (7, 28)
"""Days of the spans."""
DRAWS = 1000


def measure(session: Session, now: datetime, *, window: timedelta = timedelta(days=7)) -> Measurement:
    """The figures up to `now`; an experiment whose arm breaks a guardrail or a limit is stopped.

    Impressions are those that pages reported; where none was reported in all of the time, all answers count.

    Parameters
    ----------
    window
        How long after it was displayed a product's click, purchase or revenue counts.
    """
    started, days = time.perf_counter(), max(SPANS)
    enforce_limits(session, now)
    since = now - timedelta(days=2 * days)
    copy_paid_lines(session, since, now + window)
    ends = {(span, place): now - timedelta(days=place * span) for span in SPANS for place in (0, 1)}

    def read(answered: bool) -> dict[tuple[int, int], Impressions]:
        return {
            (span, place): read_impressions(
                session,
                since=end - timedelta(days=span),
                until=end,
                window=window,
                answered=answered,
                paid_lines=True,
            )
            for (span, place), end in ends.items()
        }

    shown = read(answered=False)
    # the longest span and the one before it are all of the time
    answered = not any(len(each) for each in shown.values())
    if answered:
        shown = read(answered=True)
    periods = {
        (span, place): _period(shown[span, place], end - timedelta(days=span), end)
        for (span, place), end in ends.items()
    }
    results = read_results(session, since=since, until=now)
    if enforce_guardrails(session, results):
        results = read_results(session, since=since, until=now)
    return Measurement(
        measured_at=now,
        seconds=time.perf_counter() - started,
        window_days=window / timedelta(days=1),
        shown="answered" if answered else "reported",
        spans=[MeasuredSpan(days=span, current=periods[span, 0], before=periods[span, 1]) for span in SPANS],
        tests=[measured_test(each) for each in results],
    )


def _period(shown: Impressions, since: datetime, until: datetime) -> MeasuredPeriod:
    return MeasuredPeriod(
        since=since,
        until=until,
        total=_group(summary(shown, "all", draws=DRAWS, seed=0)) if len(shown) else None,
        placements=[_group(each) for each in by(shown, shown.placement, draws=DRAWS, seed=0)],
    )


def _group(group: Group) -> MeasuredGroup:
    rates = {
        kind: MeasuredRate(value=rate.value, low=rate.low, high=rate.high)
        for kind, rate in group.rates.items()
    }
    return MeasuredGroup(
        name=group.name,
        impressions=group.impressions,
        users=group.users,
        clicked=rates.get("clicked"),
        bought=rates.get("bought"),
        user_shares={
            kind: MeasuredRate(value=share.value, low=share.low, high=share.high)
            for kind, share in group.user_shares.items()
        },
        revenue=group.revenue,
        revenue_low=group.revenue_low,
        revenue_high=group.revenue_high,
        revenue_per_1000=group.revenue_per_1000,
    )


def measured_test(result: AbResult) -> MeasuredTest:
    """The result of an experiment in the form of the measurement, for pages and `--json`."""
    units, ratio = result.units, result.units.sample_ratio
    return MeasuredTest(
        name=result.name,
        kind=result.design.kind,
        control=result.control,
        metric=result.design.metric,
        unit=result.design.unit,
        state=result.state,
        since=result.since,
        until=result.until,
        days=result.days,
        planned_days=result.design.days,
        outcome=result.verdict.outcome,
        winner=result.verdict.winner,
        reason=result.verdict.reason,
        arms=[
            MeasuredArm(
                name=arm.name,
                variant=str(arm.variant),
                share=arm.share,
                counted=units.counted[arm.name],
                waiting=units.waiting[arm.name],
                observed_share=None if ratio is None else ratio.observed[number],
                fallback_share=units.fallback_share[arm.name],
            )
            for number, arm in enumerate(result.design.arms)
        ],
        in_both=units.in_both,
        mismatch=ratio is not None and ratio.found,
        mismatch_p_value=None if ratio is None else ratio.p_value,
        differences=[
            MeasuredDifference(
                metric=each.metric,
                arm=each.arm,
                control=each.compared.control,
                treatment=each.compared.treatment,
                difference=each.compared.difference,
                low=each.compared.low,
                high=each.compared.high,
                relative=each.compared.relative,
                p_value=each.compared.p_value,
                variance_removed=each.variance_removed,
            )
            for each in units.comparisons
        ],
    )
