"""Limits of an experiment's service: late, slow and failed lists of an arm, in the last hour.

Every limit is a share of lists: of those that were late, of those that took longer than a 99th percentile may
(at most 1%), and of those that another model had to make. An arm breaks it where so many lists over the limit
have a chance of at most `CHANCE` at the limit itself (Chernoff's bound of a binomial tail), which looks every
quarter of an hour for four weeks exceed by chance in less than 1% of experiments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys.domains.recommendations.ab_tests.assignment import INTERLEAVED, Running, fallback_label, label
from recsys.domains.recommendations.ab_tests.design import ServiceLimits
from recsys.domains.recommendations.impressions.tables import Exposure

__all__ = ["WINDOW", "ArmService", "exceeds", "limits_broken", "read_service"]

WINDOW = timedelta(hours=1)
CHANCE = 1e-6


@dataclass(frozen=True)
class ArmService:
    """Lists of an arm: how many were late, slower than the limit, and made by another model."""

    lists: int
    late: int
    slow: int
    fallbacks: int


def exceeds(count: int, lists: int, limit: float) -> bool:
    """Whether more than the share `limit` of lists like these is so, beyond chance."""
    share = count / lists if lists else 0.0
    if share <= limit:
        return False
    divergence = share * math.log(share / limit)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - limit))
    return lists * divergence >= -math.log(CHANCE)


def read_service(
    session: Session, test: Running, arm: str, *, since: datetime, until: datetime
) -> ArmService:
    """Count an arm's lists of [since, until) whose time was noted.

    Parameters
    ----------
    arm
        A name, or `INTERLEAVED`.
    """
    limits = test.design.limits or ServiceLimits()
    fallback = fallback_label(test.name, arm)
    counts = session.execute(
        select(
            func.count(),
            func.count().filter(Exposure.late.is_(True)),
            func.count().filter(Exposure.milliseconds > (limits.p99_ms or math.inf)),
            func.count().filter(Exposure.arm == fallback),
        ).where(
            Exposure.arm.in_([label(test.name, arm), fallback]),
            Exposure.shown_at >= since,
            Exposure.shown_at < until,
            Exposure.milliseconds.is_not(None),
        )
    ).one()
    return ArmService(*counts)


def limits_broken(session: Session, test: Running, *, started_at: datetime, now: datetime) -> str | None:
    """The reason to stop the experiment: an arm that breaks a limit while the control keeps it; None without.

    Interleaved lists have no control beside them: what both models take together is what visitors wait for.
    """
    design = test.design
    if design.limits is None:
        return None
    given = {"since": max(started_at, now - WINDOW), "until": now}
    if design.kind == "interleaved":
        lists = read_service(session, test, INTERLEAVED, **given)
        return next(
            (f"limit: interleaved lists, {words}" for _, words in _broken(lists, design.limits)), None
        )
    control = read_service(session, test, design.control.name, **given)
    shared = {name for name, _ in _broken(control, design.limits)}
    for arm in design.treatments:
        of_arm = read_service(session, test, arm.name, **given)
        for name, words in _broken(of_arm, design.limits):
            if name not in shared:
                return f"limit: arm {arm.name}, {words}, and the control keeps the limit"
    return None


def _broken(lists: ArmService, limits: ServiceLimits) -> Iterator[tuple[str, str]]:
    """Each limit that is broken: its name, and what happened."""
    of_hour = f"of {lists.lists:,} lists of the last hour"
    if limits.late_share is not None and exceeds(lists.late, lists.lists, limits.late_share):
        yield "late", f"{lists.late:,} {of_hour} were late, where {limits.late_share:.1%} may be"
    if limits.p99_ms is not None and exceeds(lists.slow, lists.lists, 0.01):
        yield "slow", f"{lists.slow:,} {of_hour} took longer than {limits.p99_ms:g} ms, where 1% may"
    if limits.fallback_share is not None and exceeds(lists.fallbacks, lists.lists, limits.fallback_share):
        yield (
            "fallback",
            f"{lists.fallbacks:,} {of_hour} failed or were late and another model made them, where "
            f"{limits.fallback_share:.1%} may be",
        )
