"""Lists that an experiment will not compare, and how many of the lists of the last week are such."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from recsys.domains.recommendations.ab_tests.design import MODEL_PLACEMENTS, ExperimentDesign
from recsys.domains.recommendations.impressions.tables import Exposure
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.types import Rule, RuleKind

__all__ = ["MOST_LISTS", "WINDOW", "OutsideLists", "lists_outside"]

WINDOW = timedelta(days=7)
MOST_LISTS = 100_000
"""Newest logged lists that are counted at most, so that a start does not wait for a large log."""


class OutsideLists(BaseModel):
    """Lists that an experiment does not compare, although they are of its placements."""

    reason: Annotated[str, Field(examples=["Lists under the rule “Two of a brand” are the control's."])]
    share: Annotated[
        float | None,
        Field(
            description="Of the lists of its placements in the last 7 days, those under a name of their own "
            "not counted; null: not known."
        ),
    ]

    def __str__(self) -> str:
        if self.share is None:
            return f"{self.reason} How many are so is not known."
        return f"{self.reason} In the last 7 days {self.share:.1%} of its lists were so."


@dataclass(frozen=True)
class _LoggedLists:
    """Logged lists of one placement: all, without a visitor, and later pages."""

    lists: int
    without_visitor: int
    later_pages: int


def lists_outside(session: Session, design: ExperimentDesign, moment: datetime) -> list[OutsideLists]:
    """What an experiment of this design that starts at `moment` will not compare; empty: nothing known."""
    concerned = design.tested_placements
    counts = _counts(session, concerned, moment)
    outside = []
    if design.kind == "interleaved":
        ends = moment + timedelta(days=design.days)
        limiting = [
            rule
            for rule in rules.not_over(session, moment)
            if rule.kind in (RuleKind.CAP, RuleKind.MINIMUM_NEW)
            and any(rule.is_for(arm.variant.rule_set) for arm in design.arms if arm.variant.rules)
            and (rule.starts_at is None or rule.starts_at < ends)
            and (rule.shelves is None or not rule.shelves.isdisjoint(concerned))
        ]
        now = [rule for rule in limiting if rule.in_force(moment)]
        later = [rule for rule in limiting if not rule.in_force(moment)]
        outside += _under_rules(now, "", concerned, counts)
        outside += _under_rules(later, " that begin before the end", concerned, counts)
        outside += _counted("Later pages of a list are the control's.", counts, "later_pages")
    elif all(arm.variant.changes_model_only for arm in design.arms) and design.models:
        alike = [name for name in concerned if name not in MODEL_PLACEMENTS]
        if alike:
            reason = f"No model ranks {', '.join(alike)}: the arms have the same lists there."
            outside.append(OutsideLists(reason=reason, share=_share(counts, alike)))
    return outside + _counted("Lists without a user and a session have no arm.", counts, "without_visitor")


def _counts(session: Session, placements: Sequence[str], moment: datetime) -> dict[str, _LoggedLists]:
    newest = (
        select(
            Exposure.shelf,
            and_(Exposure.user_id.is_(None), Exposure.session_id.is_(None)).label("without_visitor"),
            # the subscripts of the arrays are places in the whole list
            (func.array_lower(Exposure.product_ids, 1) > 1).label("later_page"),
        )
        .where(Exposure.shown_at >= moment - WINDOW, Exposure.shown_at < moment)
        .order_by(Exposure.shown_at.desc())
        .limit(MOST_LISTS)
        .subquery()
    )
    rows = session.execute(
        select(
            newest.c.shelf,
            func.count(),
            func.count().filter(newest.c.without_visitor),
            func.count().filter(newest.c.later_page),
        )
        .where(newest.c.shelf.in_(placements))
        .group_by(newest.c.shelf)
    )
    return {placement: _LoggedLists(*of_placement) for placement, *of_placement in rows}


def _under_rules(
    limiting: Sequence[Rule], when: str, concerned: Sequence[str], counts: dict[str, _LoggedLists]
) -> list[OutsideLists]:
    if not limiting:
        return []
    names = ", ".join(f"“{rule.name}”" for rule in limiting[:5]) + (" …" if len(limiting) > 5 else "")
    reason = (
        f"Lists under caps and minimum shares{when} are the control's, without an arm, since products of two "
        f"lists could break them together: {names}."
    )
    # a rule for lists with a name of their own holds on no list of the plain name
    under = [name for name in concerned if any(rule.holds_on(name, None) for rule in limiting)]
    is_known = under or all(rule.placements is None for rule in limiting)
    return [OutsideLists(reason=reason, share=_share(counts, under) if is_known else None)]


def _share(counts: dict[str, _LoggedLists], placements: Iterable[str]) -> float | None:
    total = sum(each.lists for each in counts.values())
    return sum(counts[name].lists for name in placements if name in counts) / total if total else None


def _counted(reason: str, counts: dict[str, _LoggedLists], field: str) -> list[OutsideLists]:
    """A condition that is known by the log only; nothing where no list was so."""
    count = sum(getattr(each, field) for each in counts.values())
    share = count / sum(each.lists for each in counts.values()) if count else 0.0
    return [OutsideLists(reason=reason, share=share)] if count else []
