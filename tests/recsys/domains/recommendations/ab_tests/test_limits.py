"""Limits of late, slow and failed lists: broken beyond chance, by an arm and not by the shop."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.ab_tests.assignment import Running
from recsys.domains.recommendations.ab_tests.design import (
    ExperimentDesign,
    Variant,
    arms_of,
    interleaved_arms,
)
from recsys.domains.recommendations.ab_tests.limits import exceeds, limits_broken
from recsys.errors import Invalid

LIMITS = {"late_share": 0.02, "p99_ms": 100.0, "fallback_share": 0.05}


def running(**terms: Any) -> Running:
    given: dict[str, Any] = {"arms": arms_of(["challenger:0.5:model=als-v1"]), "limits": LIMITS}
    return Running(1, "duel", "knn-v1", "salt", ExperimentDesign.of(**(given | terms)))


def note(session: Session, arm: str, lists: int, *, late: int = 0, slow: int = 0, minutes: float = 5) -> None:
    """Lists of an arm some minutes ago, the first of them late and slow."""
    session.execute(
        text(
            "INSERT INTO recommendations_db.exposures (request_id, shelf, session_id, source, arm, "
            "product_ids, scores, shown_at, milliseconds, late) "
            "SELECT :arm || :minutes || '-' || i, 'for_you', 's', 'live', 'duel:' || :arm, '{1}', '{1}', "
            ":at, CASE WHEN i <= :slow THEN 150 ELSE 20 END, i <= :late "
            "FROM generate_series(1, :lists) i"
        ),
        {
            "arm": arm, "lists": lists, "late": late, "slow": slow, "minutes": str(minutes),
            "at": clock.now() - timedelta(minutes=minutes),
        },
    )  # fmt: skip


def reason(session: Session, test: Running | None = None, *, hours: float = 5) -> str | None:
    now = clock.now()
    return limits_broken(session, test or running(), started_at=now - timedelta(hours=hours), now=now)


def test_an_arm_that_is_late_slow_or_fails_breaks_its_limit(session: Session) -> None:
    assert reason(session) is None
    note(session, "control", 1_000, late=15, slow=8)
    note(session, "challenger", 1_000, late=25, slow=12)
    assert reason(session) is None, "within chance of the limit"
    note(session, "challenger", 1_000, late=150, minutes=6)
    assert "175 of 2,000 lists of the last hour were late, where 2.0% may be" in str(reason(session))
    assert reason(session, running(limits=None)) is None
    assert reason(session, running(limits={"p99_ms": 100})) is None
    assert reason(session, running(limits={"p99_ms": 10})) is None, "the control is as slow"
    note(session, "challenger", 100, slow=90, minutes=7)
    assert "arm challenger, 102 of 2,100 lists of the last hour took longer than 100 ms" in str(
        reason(session, running(limits={"p99_ms": 100}))
    )
    note(session, "challenger:fallback", 400, minutes=8)
    assert "another model made them" in str(reason(session, running(limits={"fallback_share": 0.05})))


def test_lists_before_the_hour_or_the_start_do_not_count(session: Session) -> None:
    note(session, "challenger", 500, late=400, minutes=70)
    assert reason(session) is None
    note(session, "challenger", 500, late=400, minutes=30)
    assert reason(session, hours=0.4) is None
    assert reason(session) is not None


def test_a_shop_that_is_late_stops_no_arm(session: Session) -> None:
    note(session, "control", 1_000, late=300)
    note(session, "challenger", 1_000, late=300)
    assert reason(session) is None


def test_interleaved_lists_have_no_control_beside_them(session: Session) -> None:
    arms = interleaved_arms(Variant(model="als-v1"))
    test = running(kind="interleaved", arms=arms, metric="clicked")
    note(session, "interleaved", 1_000, late=300)
    assert "interleaved lists, 300 of 1,000" in str(reason(session, test))


def test_chance_at_the_limit_stops_less_than_one_experiment_of_a_hundred() -> None:
    """2,688 looks of independent hours at the limit itself, a hundred times."""
    generator, looks = np.random.default_rng(1), 4 * 24 * 28
    for lists, limit in ((200, 0.01), (5_000, 0.02), (50_000, 0.01)):
        counts = generator.binomial(lists, limit, size=100 * looks)
        highest = int(counts.max())
        stopped = sum(
            int((counts == count).sum()) for count in range(highest + 1) if exceeds(count, lists, limit)
        )
        assert stopped <= 3
    assert exceeds(50, 1_000, 0.01)
    assert exceeds(10, 10, 0.01)
    assert not exceeds(0, 0, 0.01)


@pytest.mark.parametrize("wrong", [{"late_share": 0}, {"late_share": 1}, {"p99_ms": 0}, {"other": 1}])
def test_limits_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Invalid):
        running(limits=wrong)
