"""Business rules: written down, changed with a trace, and read by those who apply them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, func, or_, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.products.tables import Brand, Category, Product
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.rules.schemas import RuleIn, RuleOut, RuleSetOut, TargetIn, TargetOwnIds
from recsys.domains.recommendations.rules.tables import BusinessRule, BusinessRuleChange
from recsys.domains.recommendations.rules.types import (
    GUESTS,
    KNOWN_USERS,
    CapBy,
    NewTo,
    Rule,
    RuleKind,
    RuleTarget,
)
from recsys.domains.recommendations.segments.tables import StoredSegment
from recsys.errors import Conflict, Invalid, NotFound
from recsys.own_ids.answers import skus_of
from recsys.web.versions import check_version

__all__ = [
    "MAX_ENABLED",
    "changes_of",
    "create",
    "delete",
    "fingerprint",
    "get",
    "in_force",
    "in_force_at",
    "latest_changes",
    "listed",
    "not_over",
    "release_set",
    "replace",
    "rule_of",
    "rule_sets",
    "shown",
    "with_own_ids",
]

MAX_ENABLED = 500
"""Every answer weighs each rule that is in force."""
_WRITE_LOCK = 0x72756C65  # writers take turns, so that names and the number of rules are checked against all
_TARGET = tuple(TargetIn.model_fields)
_OTHERS = tuple(name for name in RuleIn.model_fields if name != "target")
# xmin names the transaction that wrote a row, ctid its place: to add, change or delete a rule, by
# whatever program, changes this sum, in whatever order their transactions end
_FINGERPRINT = text(
    """
    SELECT count(*), coalesce(bit_xor(hashtextextended(concat_ws(':', id, xmin, ctid), 0)), 0)
    FROM recommendations_db.business_rules
    """
)


def create(session: Session, given: RuleIn, *, actor: str) -> BusinessRule:
    """Write down a rule.

    Raises
    ------
    Conflict
        The name is taken, there are too many rules, or an experiment compares its set.
    Invalid
        Its target is unknown.
    """
    _take_turns(session)
    _check_sets(session, given.rule_set)
    _check(session, given, None)
    moment = clock.now()
    rule = BusinessRule(version=1, created_by=actor, created_at=moment, updated_at=moment)
    _fill(rule, given)
    session.add(rule)
    session.flush()
    _note(session, rule.id, "created", None, rule, actor, moment)
    return rule


def replace(
    session: Session, rule_id: int, given: RuleIn, *, version: int | None, actor: str
) -> BusinessRule:
    """Put a rule in the place of another.

    Parameters
    ----------
    version
        The version that the editor saw; None for any.
    actor
        Whom the recorded change names.

    Raises
    ------
    NotFound
        There is no such rule.
    Conflict
        Somebody else changed it meanwhile, the name is taken, there are too many rules, or an experiment
        compares its set.
    Invalid
        Its target is unknown.
    """
    _take_turns(session)
    rule = _of_version(session, rule_id, version)
    _check_sets(session, rule.rule_set, given.rule_set)
    _check(session, given, rule)
    before = _written(rule)
    moment = clock.now()
    _fill(rule, given)
    rule.version += 1
    rule.updated_at = moment
    session.flush()
    _note(session, rule.id, "replaced", before, rule, actor, moment)
    return rule


def delete(session: Session, rule_id: int, *, version: int | None, actor: str) -> None:
    """Take a rule away; its changes stay. Raises NotFound, Conflict (changed meanwhile, or compared)."""
    _take_turns(session)
    rule = _of_version(session, rule_id, version)
    _check_sets(session, rule.rule_set)
    before = _written(rule)
    session.delete(rule)
    session.flush()
    _note(session, rule_id, "deleted", before, None, actor, clock.now())


def rule_sets(session: Session) -> list[RuleSetOut]:
    """The sets that rules belong to, by name."""
    compared = ab_tests.compared_rule_sets(session)
    rows = session.execute(
        select(BusinessRule.rule_set, func.count(), func.count().filter(BusinessRule.enabled))
        .group_by(BusinessRule.rule_set)
        .order_by(BusinessRule.rule_set)
    )
    return [
        RuleSetOut(name=name, rules=count, enabled=enabled, experiments=compared.get(name, []))
        for name, count, enabled in rows
        if name is not None
    ]


def release_set(session: Session, name: str, *, actor: str) -> list[BusinessRule]:
    """Let the rules of a set hold for everybody: they leave the set, each with a recorded change.

    Raises
    ------
    NotFound
        There is no such rule.
    Conflict
        An experiment compares the set.
    """
    _take_turns(session)
    _check_sets(session, name)
    released = list(
        session.scalars(
            select(BusinessRule)
            .where(BusinessRule.rule_set == name)
            .order_by(BusinessRule.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )
    if not released:
        known = ", ".join(each.name for each in rule_sets(session)) or "none"
        raise NotFound(f"No business rule is of the set {name}; sets: {known}.")
    moment = clock.now()
    for rule in released:
        before = _written(rule)
        rule.rule_set, rule.updated_at = None, moment
        rule.version += 1
        session.flush()
        _note(session, rule.id, "replaced", before, rule, actor, moment)
    return released


def get(session: Session, rule_id: int) -> BusinessRule:
    """One rule. Raises NotFound."""
    rule = session.get(BusinessRule, rule_id)
    if rule is None:
        raise NotFound(f"There is no business rule {rule_id}.")
    return rule


def listed(
    session: Session,
    *,
    limit: int,
    before: int | None = None,
    kind: RuleKind | None = None,
    rule_set: str | None = None,
    at: datetime | None = None,
) -> Sequence[BusinessRule]:
    """Rules, newest first, those older than the id `before`; with `at` only what is in force then."""
    query = select(BusinessRule)
    if before is not None:
        query = query.where(BusinessRule.id < before)
    if kind is not None:
        query = query.where(BusinessRule.kind == kind.value)
    if rule_set is not None:
        query = query.where(BusinessRule.rule_set == rule_set)
    if at is not None:
        started = or_(BusinessRule.starts_at.is_(None), BusinessRule.starts_at <= at)
        query = query.where(BusinessRule.enabled, started, _lasts_beyond(at))
    return session.scalars(query.order_by(BusinessRule.id.desc()).limit(limit)).all()


def changes_of(
    session: Session, rule_id: int, *, limit: int, before: int | None = None
) -> Sequence[BusinessRuleChange]:
    """Changes of a rule, newest first, deleted rules too. Raises NotFound when there never was one."""
    known = select(BusinessRuleChange.id).where(BusinessRuleChange.rule_id == rule_id).limit(1)
    if session.scalar(known) is None:
        get(session, rule_id)
    query = select(BusinessRuleChange).where(BusinessRuleChange.rule_id == rule_id)
    if before is not None:
        query = query.where(BusinessRuleChange.id < before)
    return session.scalars(query.order_by(BusinessRuleChange.id.desc()).limit(limit)).all()


def latest_changes(session: Session, *, limit: int) -> Sequence[BusinessRuleChange]:
    """Changes of all rules, newest first."""
    return session.scalars(
        select(BusinessRuleChange).order_by(BusinessRuleChange.id.desc()).limit(limit)
    ).all()


def in_force(session: Session, moment: datetime) -> list[Rule]:
    """The enabled rules whose time it is, also those of sets, the first to decide first."""
    return [rule for rule in not_over(session, moment) if rule.in_force(moment)]


def not_over(session: Session, moment: datetime) -> list[Rule]:
    """The enabled rules whose time it is or will be, also those of sets, the first to decide first."""
    rows = session.scalars(
        select(BusinessRule)
        .where(BusinessRule.enabled, _lasts_beyond(moment))
        .order_by(BusinessRule.priority.desc(), BusinessRule.id)
        .execution_options(populate_existing=True)
    )
    return [rule_of(row) for row in rows]


def in_force_at(session: Session, moment: datetime) -> list[Rule]:
    """The rules that were in force at a past moment, by their recorded changes, also those of sets.

    Rules that another program wrote have no recorded changes and are left out.
    """
    newest = (
        select(BusinessRuleChange)
        .where(BusinessRuleChange.changed_at <= moment)
        .ext(distinct_on(BusinessRuleChange.rule_id))
        .order_by(BusinessRuleChange.rule_id, BusinessRuleChange.id.desc())
    )
    rules = []
    for change in session.scalars(newest):
        if change.after is None or not change.after.get("enabled", True):
            continue
        written = {name: change.after.get(name) for name in RuleIn.model_fields}
        rule = RuleIn.model_validate(written).as_rule(change.rule_id)
        if rule.in_force(moment):
            rules.append(rule)
    return rules


def fingerprint(session: Session) -> tuple[int, int]:
    """Changes with every change of the rules; one pass over a small table."""
    count, mixed = session.execute(_FINGERPRINT).one()
    return count, mixed


def rule_of(row: BusinessRule) -> Rule:
    """A stored rule as those who apply it see it."""
    return Rule(
        id=row.id,
        name=row.name,
        kind=RuleKind(row.kind),
        target=RuleTarget(
            product_ids=None if row.product_ids is None else tuple(row.product_ids),
            category_id=row.category_id,
            brand_id=row.brand_id,
            tag=row.tag,
            min_price=None if row.min_price is None else float(row.min_price),
            max_price=None if row.max_price is None else float(row.max_price),
            created_within_days=row.created_within_days,
        ),
        position=row.position,
        factor=row.factor,
        most=row.most,
        cap_by=None if row.cap_by is None else CapBy(row.cap_by),
        strict=row.strict,
        share=row.share,
        new_to=None if row.new_to is None else NewTo(row.new_to),
        shelves=None if row.shelves is None else frozenset(row.shelves),
        placements=None if row.placements is None else frozenset(row.placements),
        rule_set=row.rule_set,
        segment=row.segment,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        priority=row.priority,
        version=row.version,
    )


def shown(row: BusinessRule) -> RuleOut:
    """A stored rule as the routes answer it; what another program wrote is shown as it is."""
    kept = {name: getattr(row, name) for name in _OTHERS}
    kept |= {name: getattr(row, name) for name in ("id", "version", "created_by", "created_at", "updated_at")}
    rule = rule_of(row)
    kept |= {"kind": rule.kind, "cap_by": rule.cap_by, "new_to": rule.new_to}
    target = TargetIn.model_construct(**{name: getattr(row, name) for name in _TARGET})
    return RuleOut.model_construct(**kept, target=target)


def with_own_ids(session: Session, rules: Sequence[RuleOut]) -> list[RuleOut]:
    """Fill in the own ids of the targets, by a query for each kind; return the rules."""
    targets = [rule.target for rule in rules]
    skus = skus_of(session, {product for target in targets for product in target.product_ids or ()})
    categories = _slugs(session, Category, {target.category_id for target in targets})
    brands = _slugs(session, Brand, {target.brand_id for target in targets})
    for rule in rules:
        products = rule.target.product_ids
        rule.target_own_ids = TargetOwnIds(
            skus=None if products is None else [skus.get(product) for product in products],
            category_slug=categories.get(rule.target.category_id),
            brand_slug=brands.get(rule.target.brand_id),
        )
    return list(rules)


def _slugs(
    session: Session, table: type[Category] | type[Brand], ids: set[int | None]
) -> dict[int | None, str]:
    wanted = ids - {None}
    if not wanted:
        return {}
    return {
        row.id: row.slug for row in session.execute(select(table.id, table.slug).where(table.id.in_(wanted)))
    }


def _written(row: BusinessRule) -> dict[str, object]:
    return shown(row).model_dump(mode="json", warnings=False, exclude={"target_own_ids"})


def _take_turns(session: Session) -> None:
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITE_LOCK})


def _check_sets(session: Session, *names: str | None) -> None:
    """Raise Conflict where a running experiment compares one of these sets: its arms never change."""
    compared = ab_tests.compared_rule_sets(session)
    for name in filter(None, names):
        if name in compared:
            test = compared[name][0]
            raise Conflict(
                f"The experiment {test} compares the set {name}, whose rules stay as they are until it ends. "
                f"To change them stop it first: `recsys serve ab-test stop {test} --reason …`."
            )


def _of_version(session: Session, rule_id: int, version: int | None) -> BusinessRule:
    rule = session.get(BusinessRule, rule_id, with_for_update=True, populate_existing=True)
    if rule is None:
        raise NotFound(f"There is no business rule {rule_id}.")
    check_version(rule.version, version)
    return rule


def _check(session: Session, given: RuleIn, row: BusinessRule | None) -> None:
    """Against what is stored: the name, the number of rules, and that the target exists."""
    others = select(BusinessRule.id).where(BusinessRule.id != (-1 if row is None else row.id))
    if session.scalar(others.where(BusinessRule.name == given.name)) is not None:
        raise Conflict("Another business rule has this name already.")
    count = select(func.count()).select_from(others.where(BusinessRule.enabled).subquery())
    if given.enabled and (session.scalar(count) or 0) >= MAX_ENABLED:
        raise Conflict(f"There are {MAX_ENABLED} enabled rules already; disable or delete one first.")
    # what was right when it was written stays: a rule whose category went can still be switched off
    target = given.target
    changed = {name for name in _TARGET if row is None or getattr(row, name) != getattr(target, name)}
    for name, table in (("category", Category), ("brand", Brand)):
        wanted = getattr(target, f"{name}_id")
        if f"{name}_id" in changed and wanted is not None and session.get(table, wanted) is None:
            raise Invalid(f"There is no {name} {wanted}.")
    is_new_segment = given.segment is not None and (row is None or row.segment != given.segment)
    if is_new_segment and given.segment not in (GUESTS, KNOWN_USERS):
        assert given.segment is not None
        # locked, so that it is not deleted meanwhile
        if session.get(StoredSegment, given.segment, with_for_update={"read": True}) is None:
            raise Invalid(f"There is no stored segment {given.segment!r}.")
    if "product_ids" in changed and target.product_ids is not None:
        found = session.scalars(select(Product.id).where(Product.id.in_(target.product_ids)))
        if unknown := sorted(set(target.product_ids) - set(found)):
            named = ", ".join(map(str, unknown[:5])) + (" …" if len(unknown) > 5 else "")
            raise Invalid(f"Unknown products in the target: {named}.")


def _fill(row: BusinessRule, given: RuleIn) -> None:
    for name in _OTHERS:
        value = getattr(given, name)
        setattr(row, name, value.value if isinstance(value, StrEnum) else value)
    for name in _TARGET:
        setattr(row, name, getattr(given.target, name))


def _note(
    session: Session,
    rule_id: int,
    action: str,
    before: dict[str, object] | None,
    row: BusinessRule | None,
    actor: str,
    moment: datetime,
) -> None:
    after = None if row is None else _written(row)
    session.add(
        BusinessRuleChange(
            rule_id=rule_id, action=action, before=before, after=after, actor=actor, changed_at=moment
        )
    )
    session.flush()


def _lasts_beyond(moment: datetime) -> ColumnElement[bool]:
    return or_(BusinessRule.ends_at.is_(None), BusinessRule.ends_at > moment)
