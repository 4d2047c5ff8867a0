"""Tests of a challenger against the model that serves: who is in which arm, how they start and end.

A visitor's arm is a matter of arithmetic: a hash of the test's salt and of who they are, the same in every
process, on every machine and as long as the test runs (Kohavi, Tang & Xu 2020, "Trustworthy Online Controlled
Experiments", section 4, "variant assignment"). Nothing is stored for it. Each test has a salt of its own, so
that a visitor's arm of one test says nothing about the visitor's arm of the next.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.ab_tests.tables import AbTest
from recsys.domains.recommendations.impressions.tables import Exposure
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.tables import ModelPromotion, RecommendationModel
from recsys.errors import Conflict, Invalid, NotFound
from recsys.settings import get_settings

__all__ = [
    "METRICS",
    "Arm",
    "Running",
    "answered",
    "arm_of",
    "check_promotion",
    "draw",
    "end",
    "get",
    "label",
    "listed",
    "running",
    "start",
    "stop",
    "unit_of",
]

METRICS = ("clicked", "carted", "bought", "revenue", "spent")
"""What a test can be decided by; `training.online.ab_statistics` says what each means."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


class Arm(StrEnum):
    """`fallback`: meant for the challenger, and answered by the model that serves all the same."""

    CONTROL = "control"
    CHALLENGER = "challenger"
    FALLBACK = "fallback"


@dataclass(frozen=True)
class Running:
    """The test that runs, as those see it who answer.

    share         of the visitors who are answered by the challenger, above 0 and below 1
    live_control  the other arm's lists are made when asked for too, as the challenger's are
    """

    id: int
    name: str
    control: str
    challenger: str
    share: float
    salt: str
    live_control: bool


def unit_of(user: int | None, session: str | None) -> str | None:
    """Who is assigned: the user, else the guest's session; None for anybody."""
    if user is not None:
        return f"user:{user}"
    return None if session is None else f"session:{session}"


def draw(salt: str, unit: str) -> float:
    """A number from 0 to 1 that looks drawn evenly and is always the same: BLAKE2b of salt and unit."""
    text = f"{salt}\0{unit}".encode(errors="backslashreplace")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def arm_of(test: Running, unit: str) -> Arm:
    """The arm of a visitor, which is the challenger's for `share` of all there could be."""
    return Arm.CHALLENGER if draw(test.salt, unit) < test.share else Arm.CONTROL


def label(name: str, arm: Arm) -> str:
    """What answers and exposures call the arm of a test, such as `als-against-knn:challenger`."""
    return f"{name}:{arm.value}"


def running(session: Session) -> Running | None:
    """The test that runs, if any."""
    row = _running_row(session)
    if row is None:
        return None
    return Running(row.id, row.name, row.control, row.challenger, row.share, row.salt, row.live_control)


def listed(session: Session) -> Sequence[AbTest]:
    """All tests, newest first."""
    return session.scalars(select(AbTest).order_by(AbTest.id.desc())).all()


def get(session: Session, name: str) -> AbTest:
    """The test of that name. Raises NotFound, naming those there are."""
    row = session.scalars(select(AbTest).where(AbTest.name == name)).one_or_none()
    if row is None:
        names = [one.name for one in listed(session)[:20]]
        known = f"there are: {', '.join(names)}" if names else "none was started yet"
        raise NotFound(f"no A/B test is named {name!r}; {known}")
    return row


def start(
    session: Session,
    name: str,
    challenger: str,
    *,
    share: float,
    days: float,
    metric: str,
    salt: str,
    live_control: bool = False,
    actor: str,
    reason: str,
) -> AbTest:
    """Test `challenger` against the model that serves, on `share` of the visitors, for `days`.

    Raises Invalid for what can't be tested so, NotFound for an unknown model, Conflict while another test
    runs, when the name was used before, when no model serves, or when the stored lists are of another one.
    """
    _check_terms(name, share, days, metric, reason)
    locks.only_one_promotion(session)  # the serving model must stay the recorded one
    if (other := _running_row(session)) is not None:
        raise Conflict(
            f"the A/B test {other.name} runs ({other.challenger} against {other.control}), and only one can: "
            f"stop it first with `recsys serve ab-test stop {other.name} --reason …`"
        )
    if session.scalar(select(AbTest.id).where(AbTest.name == name)) is not None:
        raise Conflict(f"there was an A/B test named {name} already; choose another name")
    control = _serving(session)
    known = session.scalars(select(RecommendationModel.name).order_by(RecommendationModel.id.desc())).all()
    if challenger not in known:
        raise NotFound(f"no model is named {challenger!r}; registered: {', '.join(known[:20])}")
    if challenger == control:
        raise Invalid(f"{challenger} is the model that serves; name another one to test against it")
    shown = generations.live(session)
    if shown is not None and shown.model != control:
        raise Conflict(
            f"{control} serves, but the stored lists are still those of {shown.model}: the test would "
            "compare with both; write new lists first with `recsys serve score`"
        )
    row = AbTest(
        name=name,
        control=control,
        challenger=challenger,
        share=share,
        salt=salt,
        live_control=live_control,
        metric=metric,
        days=days,
        state="running",
        started_at=clock.now(),
        started_by=actor,
        reason=reason,
    )
    session.add(row)
    session.flush()
    _note(session, row, "ab_start", actor, reason)
    return row


def stop(session: Session, name: str, *, actor: str, conclusion: str) -> AbTest:
    """End a test: the model that serves answers everybody again. Raises NotFound, Conflict, Invalid."""
    if not conclusion.strip():
        raise Invalid("--reason is empty; say why in a few words, the row of the test keeps it")
    locks.only_one_promotion(session)
    row = get(session, name)
    if row.state != "running":
        raise Conflict(f"the A/B test {name} was stopped already, by {row.ended_by}: {row.conclusion}")
    _end(session, row, actor, conclusion)
    return row


def end(session: Session, *, actor: str, conclusion: str) -> str | None:
    """End whichever test runs, in the transaction that changes the model; its name, None without any."""
    row = _running_row(session)
    if row is None:
        return None
    _end(session, row, actor, conclusion)
    return row.name


def answered(session: Session, test: AbTest) -> dict[str, dict[str, int]]:
    """Of each arm, by its name, how many lists were answered to how many users and guests."""
    found = {}
    for arm in Arm:
        of_arm = (
            Exposure.arm == label(test.name, arm),
            Exposure.shown_at >= test.started_at,
            Exposure.shown_at < (test.ended_at or clock.now()),
        )
        lists, users = session.execute(
            select(func.count(), func.count(Exposure.user_id.distinct())).where(*of_arm)
        ).one()
        guests = session.scalar(
            select(func.count(Exposure.session_id.distinct())).where(*of_arm, Exposure.user_id.is_(None))
        )
        found[arm.value] = {"lists": lists, "users": users, "guests": guests or 0}
    return found


def check_promotion(session: Session, name: str, *, ends: bool, actor: str) -> None:
    """Before another model begins to serve: the test that runs loses its control, so it ends, or refuses.

    ends : end it, in the caller's transaction. Else raises Conflict while one runs.
    """
    row = _running_row(session)
    if row is None:
        return
    if not ends:
        raise Conflict(
            f"the A/B test {row.name} runs ({row.challenger} against {row.control}); decide it first with "
            f"`recsys serve ab-test stop {row.name} --reason …`, or promote with --force, which ends it"
        )
    end(session, actor=actor, conclusion=f"ended because {name} began to serve")


def _check_terms(name: str, share: float, days: float, metric: str, reason: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is not a valid name of a test: expected 1 to 60 of a-z, 0-9, dot, dash and underscore"
        )
    if not 0 < share < 1:
        raise Invalid(
            f"--share {share:g}: expected the part of the visitors who get the challenger, above 0 "
            "and below 1"
        )
    kept = get_settings().intake.exposure_days
    if not 0 < days <= kept:
        raise Invalid(
            f"--days {days:g}: expected more than 0 and at most {kept:g}, since answers are kept so long "
            "(the setting intake.exposure_days)"
        )
    if metric not in METRICS:
        raise Invalid(f"--metric {metric!r}: expected one of {', '.join(METRICS)}")
    if not reason.strip():
        raise Invalid("--reason is empty; say what the test is for, its row keeps it")


def _serving(session: Session) -> str:
    control = session.scalar(
        select(RecommendationModel.name)
        .where(RecommendationModel.is_active.is_(True))
        .order_by(RecommendationModel.id.desc())
        .limit(1)
    )
    if control is None:
        raise Conflict(
            "no model serves, so there is nothing to test against; run `recsys train promote` first"
        )
    return control


def _running_row(session: Session) -> AbTest | None:
    return session.scalars(
        select(AbTest).where(AbTest.state == "running").execution_options(populate_existing=True)
    ).one_or_none()


def _end(session: Session, row: AbTest, actor: str, conclusion: str) -> None:
    row.state, row.ended_at, row.ended_by, row.conclusion = "stopped", clock.now(), actor, conclusion
    session.flush()
    _note(session, row, "ab_stop", actor, conclusion)


def _note(session: Session, row: AbTest, action: str, actor: str, reason: str) -> None:
    """In the same history as promotions, which `recsys train history` shows."""
    session.add(
        ModelPromotion(
            from_name=row.control,
            to_name=row.challenger,
            action=action,
            actor=actor,
            reason=reason,
            figures={"ab_test": row.name, "share": row.share, "days": row.days, "metric": row.metric},
            created_at=clock.now(),
        )
    )
    session.flush()
