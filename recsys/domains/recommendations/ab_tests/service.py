"""Experiments with lists: how they start and end, which of them run, and what they answered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.after_commit import after_commit
from recsys.domains.recommendations.ab_tests.assignment import INTERLEAVED, Running, fallback_label, label
from recsys.domains.recommendations.ab_tests.design import (
    ExperimentDesign,
    Variant,
    model_against_control,
)
from recsys.domains.recommendations.ab_tests.tables import AbTest
from recsys.domains.recommendations.impressions.tables import Exposure
from recsys.domains.recommendations.rules.tables import BusinessRule
from recsys.domains.recommendations.rules.types import SHELF_NAMES
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.stored_lists.arm_lists import arm_lists, retire_arm_lists
from recsys.domains.recommendations.tables import ModelPromotion, RecommendationModel
from recsys.errors import Conflict, Invalid, NotFound
from recsys.settings import get_settings

__all__ = [
    "ArmCount",
    "answered",
    "check_promotion",
    "compared_rule_sets",
    "design_of",
    "end",
    "get",
    "listed",
    "note_winner",
    "running",
    "start",
    "stop",
    "variant_of",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


@dataclass(frozen=True)
class ArmCount:
    """Lists of one arm, to how many users and guests.

    Attributes
    ----------
    fallbacks
        Lists by another model than the arm's.
    late
        Lists that missed the deadline.
    p99_ms
        99th percentile of their time; None without times.
    """

    lists: int
    users: int
    guests: int
    fallbacks: int
    late: int
    p99_ms: float | None


def design_of(row: AbTest) -> ExperimentDesign:
    """The design of a test; the version before wrote a challenger and its share instead."""
    if row.design is not None:
        return ExperimentDesign.model_validate(row.design)
    arms = model_against_control(row.challenger or row.control, row.share, live_control=row.live_control)
    return ExperimentDesign.of(arms=arms, metric=row.metric, days=row.days, outcome_days=min(7.0, row.days))


def running(session: Session) -> tuple[Running, ...]:
    """The tests that run, the oldest first; no two of them share a placement."""
    return tuple(
        Running(row.id, row.name, row.control, row.salt, design_of(row)) for row in _running_rows(session)
    )


def listed(session: Session) -> Sequence[AbTest]:
    """All tests, newest first."""
    return session.scalars(select(AbTest).order_by(AbTest.id.desc())).all()


def get(session: Session, name: str) -> AbTest:
    """The test of that name.

    Raises
    ------
    NotFound
        There is none; the message names those there are.
    """
    row = session.scalars(select(AbTest).where(AbTest.name == name)).one_or_none()
    if row is None:
        names = [one.name for one in listed(session)[:20]]
        known = f"there are: {', '.join(names)}" if names else "none was started yet"
        raise NotFound(f"no A/B test is named {name!r}; {known}")
    return row


def start(
    session: Session, name: str, design: ExperimentDesign, *, salt: str, actor: str, reason: str
) -> AbTest:
    """Start an experiment: from now on each visitor's lists are those of an arm.

    Others may run beside it on other placements.

    Parameters
    ----------
    salt
        What visitors are hashed with; that of no other test.
    actor, reason
        Who starts it and why, recorded with the test.

    Raises
    ------
    Invalid
        It can't be tested so.
    NotFound
        A model is unknown.
    Conflict
        Another test has one of the placements, the name was used before, no model serves, or the stored lists
        are of another one.
    """
    _check_terms(name, design, reason)
    locks.only_one_promotion(session)  # the serving model must stay the recorded one
    _check_placements(session, design)
    if session.scalar(select(AbTest.id).where(AbTest.name == name)) is not None:
        raise Conflict(f"there was an A/B test named {name} already; choose another name")
    control = _serving(session)
    known = session.scalars(select(RecommendationModel.name).order_by(RecommendationModel.id.desc())).all()
    for model in design.models:
        if model not in known:
            raise NotFound(f"no model is named {model!r}; registered: {', '.join(known[:20])}")
        if model == control:
            raise Invalid(f"{model} is the model that serves; name another one to test against it")
    _check_rule_sets(session, design)
    shown = generations.live(session)
    if shown is not None and shown.model != control:
        raise Conflict(
            f"{control} serves, but the stored lists are still those of {shown.model}: the test would "
            "compare with both; write new lists first with `recsys serve score`"
        )
    row = AbTest(
        name=name,
        control=control,
        challenger=next(iter(design.models), None),
        share=sum(arm.share for arm in design.treatments),
        live_control=design.control.variant.live,
        # without what is as usual, so that the program of the version before reads designs that it knows
        design=design.model_dump(mode="json", exclude_defaults=True),
        salt=salt,
        metric=design.metric,
        days=design.days,
        state="running",
        started_at=clock.now(),
        started_by=actor,
        reason=reason,
    )
    session.add(row)
    session.flush()
    _note(session, row, "ab_start", actor, reason)
    return row


def stop(session: Session, name: str, *, actor: str, conclusion: str, winner: str | None = None) -> AbTest:
    """End a test: the model that serves answers everybody again.

    Parameters
    ----------
    actor, conclusion
        Who ends it and why, recorded with the test.
    winner
        The arm that is kept, recorded with the test.

    Raises
    ------
    NotFound
        There is no such test or arm.
    Conflict
        It was stopped already.
    Invalid
        The conclusion is empty.
    """
    if not conclusion.strip():
        raise Invalid("--reason is empty; say why in a few words, the row of the test keeps it")
    locks.only_one_promotion(session)
    row = get(session, name)
    if row.state != "running":
        raise Conflict(f"the A/B test {name} was stopped already, by {row.ended_by}: {row.conclusion}")
    _end(session, row, actor, conclusion)
    if winner is not None:
        note_winner(session, name, winner)
    return row


def note_winner(session: Session, name: str, winner: str) -> AbTest:
    """Record which arm of a test is kept.

    Raises
    ------
    NotFound
        There is no such test or arm.
    """
    row = get(session, name)
    design = design_of(row)
    if design.arm(winner) is None:
        raise NotFound(f"no arm of {name} is named {winner!r}; there are: {', '.join(design.shares)}")
    row.winner = winner
    session.flush()
    return row


def end(session: Session, *, actor: str, conclusion: str) -> list[str]:
    """End all tests that run, in the transaction that changes the model.

    Parameters
    ----------
    actor, conclusion
        Who ends them and why, recorded with each test.

    Returns
    -------
    list of str
        Their names.
    """
    rows = _running_rows(session)
    for row in rows:
        _end(session, row, actor, conclusion)
    return [row.name for row in rows]


def answered(session: Session, test: AbTest) -> dict[str, ArmCount]:
    """How many lists of each arm were answered to how many users and guests.

    Both arms of an interleaved experiment have the same ones.

    Returns
    -------
    dict of str to ArmCount
        By the name of the arm.
    """
    found = {}
    design = design_of(test)
    for arm in design.arms:
        # an interleaved list is of both arms
        name = INTERLEAVED if design.kind == "interleaved" else arm.name
        fallback = fallback_label(test.name, name)
        of_arm = (
            Exposure.arm.in_([label(test.name, name), fallback]),
            Exposure.shown_at >= test.started_at,
            Exposure.shown_at < (test.ended_at or clock.now()),
        )
        lists, users, fallbacks, late, p99_ms = session.execute(
            select(
                func.count(),
                func.count(Exposure.user_id.distinct()),
                func.count().filter(Exposure.arm == fallback),
                func.count().filter(Exposure.late.is_(True)),
                func.percentile_disc(0.99).within_group(Exposure.milliseconds),
            ).where(*of_arm)
        ).one()
        guests = session.scalar(
            select(func.count(Exposure.session_id.distinct())).where(*of_arm, Exposure.user_id.is_(None))
        )
        found[arm.name] = ArmCount(lists, users, guests or 0, fallbacks, late, p99_ms)
    return found


def check_promotion(session: Session, name: str, *, ends: bool, actor: str) -> None:
    """Before another model begins to serve: tests that run lose their control, so they end, or refuse.

    Parameters
    ----------
    name
        The model that begins to serve.
    ends
        End them, in the caller's transaction.
    actor
        Who promotes it, recorded with tests that end.

    Raises
    ------
    Conflict
        A test runs, without `ends`.
    """
    rows = _running_rows(session)
    if not rows:
        return
    if not ends:
        row = rows[0]
        raise Conflict(
            f"the A/B test {row.name} runs ({_arms_in_words(row)}); decide it first with "
            f"`recsys serve ab-test stop {row.name} --reason …`, or promote with --force, which ends it"
        )
    end(session, actor=actor, conclusion=f"ended because {name} began to serve")


def variant_of(session: Session, arm: str | None) -> Variant:
    """What the arm of a logged list changes.

    Parameters
    ----------
    arm
        The label of the list; None: it is of no arm.

    Returns
    -------
    Variant
        The arm's; of interleaved and other lists one without changes.
    """
    name, _, of_arm = (arm or "").partition(":")
    row = session.scalars(select(AbTest).where(AbTest.name == name)).one_or_none()
    found = None if row is None else design_of(row).arm(of_arm)
    return Variant() if found is None else found.variant


def compared_rule_sets(session: Session) -> dict[str, list[str]]:
    """The sets of rules that arms of running experiments name, each with the names of these."""
    compared: dict[str, list[str]] = {}
    for test in running(session):
        for name in test.design.rule_sets:
            compared.setdefault(name, []).append(test.name)
    return compared


def _check_placements(session: Session, design: ExperimentDesign) -> None:
    """Check that no running experiment has one of the placements.

    Raises
    ------
    Conflict
        One does; the message names the placements that are free.
    """
    tests = running(session)
    for other in tests:
        shared = [name for name in design.tested_placements if other.design.concerns(name)]
        if shared:
            free = [name for name in SHELF_NAMES if not any(each.design.concerns(name) for each in tests)]
            raise Conflict(
                f"the A/B test {other.name} runs on {', '.join(shared)}, and a placement is in one test at a "
                f"time: choose among the free ones with --placement ({', '.join(free) or 'none is'}), or "
                f"stop it first with `recsys serve ab-test stop {other.name} --reason …`"
            )


def _check_rule_sets(session: Session, design: ExperimentDesign) -> None:
    """Check that each set has an enabled rule; the rules stay as they are until the commit.

    Raises
    ------
    Invalid
        A set has none.
    """
    for name in design.rule_sets:
        of_set = select(BusinessRule.id).where(BusinessRule.rule_set == name, BusinessRule.enabled)
        if not session.scalars(of_set.with_for_update()).all():
            known = select(BusinessRule.rule_set).where(BusinessRule.rule_set.is_not(None)).distinct()
            names = ", ".join(sorted(filter(None, session.scalars(known)))) or "none"
            raise Invalid(f"no enabled business rule is of the set {name}; sets with rules: {names}")


def _arms_in_words(row: AbTest) -> str:
    arms = "; ".join(f"{arm.name}: {arm.variant}" for arm in design_of(row).treatments)
    return f"{arms}; against {row.control}"


def _check_terms(name: str, design: ExperimentDesign, reason: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is not a valid name of a test: expected 1 to 60 of a-z, 0-9, dot, dash and underscore"
        )
    kept = get_settings().intake.exposure_days
    if design.days > kept:
        raise Invalid(
            f"days {design.days:g}: expected more than 0 and at most {kept:g}, since answers are kept so "
            "long (the setting intake.exposure_days)"
        )
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


def _running_rows(session: Session) -> Sequence[AbTest]:
    running_rows = select(AbTest).where(AbTest.state == "running").order_by(AbTest.id)
    return session.scalars(running_rows.execution_options(populate_existing=True)).all()


def _end(session: Session, row: AbTest, actor: str, conclusion: str) -> None:
    row.state, row.ended_at, row.ended_by, row.conclusion = "stopped", clock.now(), actor, conclusion
    session.flush()
    others = {model for test in running(session) for model in test.design.models}
    needed = [lists.id for name, lists in arm_lists(session).items() if name in others]
    for generation in retire_arm_lists(session, but=needed):
        after_commit(session, partial(list_cache.retire_lists, generation))
    _note(session, row, "ab_stop", actor, conclusion)


def _note(session: Session, row: AbTest, action: str, actor: str, reason: str) -> None:
    """Record a change of a test in the same history as promotions, which `recsys train history` shows."""
    design = design_of(row)
    session.add(
        ModelPromotion(
            from_name=row.control,
            to_name=row.challenger or row.control,
            action=action,
            actor=actor,
            reason=reason,
            figures={
                "ab_test": row.name,
                "arms": design.shares,
                "days": row.days,
                "metric": row.metric,
            },
            created_at=clock.now(),
        )
    )
    session.flush()
