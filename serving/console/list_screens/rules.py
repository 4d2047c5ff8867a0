"""Business rules: the list, their calendar, their conflicts and changes; made, edited and undone here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import (
    RuleIn,
    RuleOut,
    RuleSetName,
    RuleSetOut,
    TargetOwnIds,
)
from recsys.domains.recommendations.rules.types import SHELF_NAMES
from serving.catalogue.catalogue import Catalogue
from serving.console.access import Merchandiser, Viewer
from serving.console.audiences import audience_choices
from serving.console.list_screens.naming import (
    brand_named,
    category_named,
    checked,
    is_id,
    moment_named,
    number_of,
    own_id_text,
    product_named,
    whole_number,
)
from serving.console.rendering import TEMPLATES, screen_router
from serving.console.rule_words import (
    RuleState,
    changed_facts,
    effect_of,
    period_of,
    place_of,
    target_of,
)
from serving.merchandising.conflicts import RuleConflict, conflicts_among
from serving.pages.charts import TimeSpan
from serving.pages.forms import SubmittedForm, redirect, submitted
from serving.recommender.recommender import Recommender

__all__ = ["RuleContent", "RulesContent", "router"]

router = screen_router("rules")
View = Literal["list", "calendar", "conflicts", "changes"]
MAX_RULES = 500
MAX_RULE_CHANGES = 100
CALENDAR_DAYS = 56
KINDS = [
    ("pin", "pin: products at a fixed position"),
    ("boost", "boost: multiply scores by more than 1"),
    ("bury", "bury: multiply scores by less than 1"),
    ("hide", "hide: never list"),
    ("cap", "cap: at most so many on a page"),
    ("minimum_new", "share of new products"),
]
RuleId = Annotated[int, Path(ge=1, le=2**31 - 1)]


class RuleRow(BaseModel):
    """One rule as it is listed.

    Attributes
    ----------
    effect, target, period
        In words.
    """

    id: int
    version: int
    name: str
    kind: str
    state: RuleState
    effect: str
    target: str
    where: str
    period: str
    priority: int
    rule_set: str | None
    segment: str | None


class CalendarRow(BaseModel):
    """The period of one rule in words, and as a part of the calendar from 0 to 1."""

    id: int
    name: str
    kind: str
    span: TimeSpan
    text: str


class RuleChangeRow(BaseModel):
    """One recorded change.

    Attributes
    ----------
    fields
        Those that differ, as "name: before → after".
    """

    rule_id: int
    name: str
    action: str
    actor: str
    changed_at: datetime
    fields: list[str]


class RulesContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    made
        Rules that were just saved, which one button deletes again.
    """

    view: View
    rows: list[RuleRow]
    calendar: list[CalendarRow]
    calendar_days: list[str]
    conflicts: list[RuleConflict]
    changes: list[RuleChangeRow]
    made: list[int]
    sets: list[RuleSetOut]


class RuleContent(BaseModel):
    """The content of the screen of one rule, or of a new one.

    Attributes
    ----------
    fields
        Of the form, as texts.
    """

    row: RuleRow | None
    fields: dict[str, str]
    placements: list[tuple[str, bool]]
    enabled: bool
    changes: list[RuleChangeRow]
    sets: list[str]
    audiences: list[tuple[str, str]]
    kinds: list[tuple[str, str]] = KINDS


class UndoForm(BaseModel):
    """The rules to delete, as the page has them."""

    made: str = Field(pattern=r"^[0-9]{1,9}(,[0-9]{1,9}){0,49}$")


@router.get("")
def list_of_rules(
    request: Request,
    user: Viewer,
    view: View = "list",
    made: Annotated[str, Query(pattern=r"^(\d{1,9}(,\d{1,9}){0,49})?$")] = "",
) -> Response:
    """All rules."""
    catalogue, moment = _catalogue(request), clock.now()
    with unit_of_work() as session:
        shown = [rules.shown(row) for row in rules.listed(session, limit=MAX_RULES)]
        conflicts = (
            conflicts_among(catalogue, rules.not_over(session, moment), moment) if view == "conflicts" else []
        )
        latest = rules.latest_changes(session, limit=MAX_RULE_CHANGES) if view == "changes" else []
        sets = rules.rule_sets(session)
        rows = [_row(session, rule, catalogue, moment) for rule in shown]
        changes = _changes(session, catalogue, latest)
    numbers = {rule.id for rule in shown}
    content = RulesContent(
        view=view,
        rows=rows,
        calendar=_calendar(shown, moment),
        calendar_days=[f"{moment + timedelta(days=7 * week):%-d %b}" for week in range(CALENDAR_DAYS // 7)],
        conflicts=conflicts,
        changes=changes,
        made=[int(number) for number in made.split(",") if number and int(number) in numbers],
        sets=sets,
    )
    return TEMPLATES.page(request, "console/rules.html.j2", content)


@router.post("")
def create_rule(
    request: Request, user: Merchandiser, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """Make a rule of the form."""
    given = _rule_of(form, _catalogue(request))
    with unit_of_work() as session:
        number = rules.create(session, given, actor=user.actor).id
    return redirect(f"/console/rules?made={number}", f"Saved “{given.name}”. Lists follow within seconds.")


@router.post("/undo")
def undo_rules(user: Merchandiser, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """Delete rules that were just saved."""
    numbers = [int(each) for each in form.model(UndoForm).made.split(",")]
    with unit_of_work() as session:
        for number in numbers:
            rules.delete(session, number, version=1, actor=user.actor)
    return redirect("/console/rules", f"Deleted {len(numbers)} rules. Lists follow within seconds.")


@router.post("/sets/{rule_set}/release")
def release_rule_set(
    user: Merchandiser,
    rule_set: Annotated[RuleSetName, Path()],
    form: Annotated[SubmittedForm, Depends(submitted)],
) -> Response:
    """Apply the rules of a set to everybody."""
    with unit_of_work() as session:
        count = len(rules.release_set(session, rule_set, actor=user.actor))
    return redirect("/console/rules", f"{count} rules of {rule_set} hold for everybody within seconds.")


@router.get("/new")
def new_rule(request: Request, user: Viewer) -> Response:
    """The form of a new rule."""
    with unit_of_work() as session:
        sets = [each.name for each in rules.rule_sets(session)]
        audiences = audience_choices(session)
    content = RuleContent(
        row=None,
        fields={**dict.fromkeys(_FIELDS, ""), "kind": "boost", "priority": "0"},
        placements=[(name, False) for name in SHELF_NAMES],
        enabled=True,
        changes=[],
        sets=sets,
        audiences=audiences,
    )
    return TEMPLATES.page(request, "console/rule.html.j2", content)


@router.get("/{rule_id}")
def one_rule(request: Request, user: Viewer, rule_id: RuleId) -> Response:
    """One rule, its form and its changes; of a deleted one, which past lists still name, the changes."""
    with unit_of_work() as session:
        catalogue = _catalogue(request)
        latest = rules.changes_of(session, rule_id, limit=1)
        if latest and latest[0].action == "deleted":
            name = (latest[0].before or {}).get("name", rule_id)
            text = f"“{name}” was deleted on {latest[0].changed_at:%-d %B %Y} by {latest[0].actor}."
            return redirect("/console/rules?view=changes", text)
        (rule,) = rules.with_own_ids(session, [rules.shown(rules.get(session, rule_id))])
        row = _row(session, rule, catalogue, clock.now())
        changes = _changes(session, catalogue, rules.changes_of(session, rule_id, limit=MAX_RULE_CHANGES))
        sets = [each.name for each in rules.rule_sets(session)]
        audiences = audience_choices(session)
    content = RuleContent(
        row=row,
        fields=_fields_of(rule),
        placements=[(name, name in (rule.shelves or ())) for name in SHELF_NAMES],
        enabled=rule.enabled,
        changes=changes,
        sets=sets,
        audiences=audiences,
    )
    return TEMPLATES.page(request, "console/rule.html.j2", content)


@router.post("/{rule_id}")
def replace_rule(
    request: Request,
    user: Merchandiser,
    rule_id: RuleId,
    form: Annotated[SubmittedForm, Depends(submitted)],
) -> Response:
    """Replace a rule by the form; a conflict when somebody changed it meanwhile."""
    given = _rule_of(form, _catalogue(request))
    with unit_of_work() as session:
        rules.replace(session, rule_id, given, version=form.version(), actor=user.actor)
    return redirect(f"/console/rules/{rule_id}", "Saved. Lists follow within seconds.")


@router.post("/{rule_id}/enabled")
def switch_rule(
    user: Merchandiser, rule_id: RuleId, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """Enable or disable a rule."""
    with unit_of_work() as session:
        rule = rules.shown(rules.get(session, rule_id))
        values = rule.model_dump(include=set(RuleIn.model_fields)) | {"enabled": not rule.enabled}
        rules.replace(session, rule_id, checked(RuleIn, values), version=form.version(), actor=user.actor)
    return redirect(f"/console/rules/{rule_id}", "Disabled." if rule.enabled else "Enabled.")


@router.post("/{rule_id}/delete")
def delete_rule(
    user: Merchandiser, rule_id: RuleId, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """Delete a rule; its changes stay."""
    with unit_of_work() as session:
        rules.delete(session, rule_id, version=form.version(), actor=user.actor)
    return redirect("/console/rules", "Deleted. Its changes stay under “Changes”.")


_FIELDS = (
    "name", "kind", "products", "category", "brand", "tag", "min_price", "max_price", "created_within_days",
    "position", "factor", "most", "cap_by", "strict", "share", "new_to", "names", "starts", "ends",
    "priority", "rule_set", "segment",
)  # fmt: skip


def _catalogue(request: Request) -> Catalogue:
    recommender: Recommender = request.app.state.recommender
    return recommender.data.catalogue


def _rule_of(form: SubmittedForm, catalogue: Catalogue) -> RuleIn:
    """Return the rule of a form. Raises Invalid, and NotFound for an unknown product, category or brand."""
    numbers = []
    for words in map(str.strip, form.text("products").replace("\n", ",").split(",")):
        # a number stays: a rule keeps a product that was deleted, and saving refuses an unknown one
        number = int(words) if is_id(words) else product_named(catalogue, words)
        if number is not None:
            numbers.append(number)
    target: dict[str, Any] = {
        "product_ids": list(dict.fromkeys(numbers)) or None,
        "category_id": category_named(form.text("category")),
        "brand_id": brand_named(form.text("brand")),
        "tag": form.text("tag") or None,
        "min_price": form.text("min_price") or None,
        "max_price": form.text("max_price") or None,
        "created_within_days": whole_number(form, "created_within_days"),
    }
    strict, share = form.text("strict"), number_of(form, "share")
    values: dict[str, Any] = {
        "name": form.text("name"),
        "kind": form.text("kind"),
        "target": target,
        "position": whole_number(form, "position"),
        "factor": number_of(form, "factor"),
        "most": whole_number(form, "most"),
        "cap_by": form.text("cap_by") or None,
        "strict": None if not strict else strict == "yes",
        "share": None if share is None else share / 100,
        "new_to": form.text("new_to") or None,
        "shelves": form.texts("shelves") or None,
        "placements": [each.strip() for each in form.text("names").split(",") if each.strip()] or None,
        "starts_at": moment_named(form.text("starts")),
        "ends_at": moment_named(form.text("ends")),
        "priority": whole_number(form, "priority") or 0,
        "rule_set": form.text("rule_set").strip() or None,
        "segment": form.text("segment") or None,
        "enabled": form.text("enabled") == "yes",
    }
    return checked(RuleIn, values)


def _fields_of(rule: RuleOut) -> dict[str, str]:
    target, own_ids = rule.target, rule.target_own_ids or TargetOwnIds()
    values: dict[str, object] = {
        "name": rule.name,
        "kind": rule.kind.value,
        "products": ", ".join(
            own_id_text("sku", sku, product)
            for product, sku in zip(target.product_ids or (), own_ids.skus or (), strict=True)
        ),
        "category": target.category_id and own_id_text("slug", own_ids.category_slug, target.category_id),
        "brand": target.brand_id and own_id_text("slug", own_ids.brand_slug, target.brand_id),
        "tag": target.tag,
        "min_price": target.min_price,
        "max_price": target.max_price,
        "created_within_days": target.created_within_days,
        "position": rule.position,
        "factor": rule.factor,
        "most": rule.most,
        "cap_by": rule.cap_by,
        "strict": None if rule.strict is None else "yes" if rule.strict else "no",
        "share": None if rule.share is None else f"{rule.share * 100:g}",
        "new_to": rule.new_to,
        "names": ", ".join(rule.placements or ()),
        "starts": None if rule.starts_at is None else f"{rule.starts_at:%Y-%m-%dT%H:%M}",
        "ends": None if rule.ends_at is None else f"{rule.ends_at:%Y-%m-%dT%H:%M}",
        "priority": rule.priority,
        "rule_set": rule.rule_set,
        "segment": rule.segment,
    }
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _row(session: Session, rule: RuleOut, catalogue: Catalogue, moment: datetime) -> RuleRow:
    return RuleRow(
        id=rule.id,
        version=rule.version,
        name=rule.name,
        kind=rule.kind.value,
        state=_state(rule, moment),
        effect=effect_of(rule),
        target=target_of(session, rule, catalogue),
        where=place_of(rule),
        period=period_of(rule),
        priority=rule.priority,
        rule_set=rule.rule_set,
        segment=rule.segment,
    )


def _state(rule: RuleOut, moment: datetime) -> RuleState:
    if not rule.enabled:
        return "disabled"
    if rule.starts_at is not None and rule.starts_at > moment:
        return "planned"
    return "over" if rule.ends_at is not None and rule.ends_at <= moment else "in force"


def _calendar(shown: Sequence[RuleOut], moment: datetime) -> list[CalendarRow]:
    """The enabled rules whose period meets the next eight weeks, the first to begin first."""
    end, span = moment + timedelta(days=CALENDAR_DAYS), timedelta(days=CALENDAR_DAYS)
    rows = []
    for rule in sorted(shown, key=lambda rule: rule.starts_at or moment - span):
        first, last = rule.starts_at or moment, rule.ends_at or end
        if not rule.enabled or last <= moment or first >= end:
            continue
        begins, stops = max(0.0, (first - moment) / span), min(1.0, (last - moment) / span)
        place = TimeSpan(begins, stops, open_end=rule.ends_at is None or rule.ends_at > end)
        rows.append(CalendarRow(id=rule.id, name=rule.name, kind=rule.kind, span=place, text=period_of(rule)))
    return rows


def _changes(session: Session, catalogue: Catalogue, rows: Sequence[Any]) -> list[RuleChangeRow]:
    return [
        RuleChangeRow(
            rule_id=row.rule_id,
            name=(row.after or row.before or {}).get("name", ""),
            action=row.action,
            actor=row.actor,
            changed_at=row.changed_at,
            fields=changed_facts(session, catalogue, row.before or {}, row.after or {})
            if row.action == "replaced"
            else [],
        )
        for row in rows
    ]
