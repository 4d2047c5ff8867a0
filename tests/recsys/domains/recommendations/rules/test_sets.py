"""Sets of rules: put together, compared by an experiment, released to everybody with a trace."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.design import ExperimentDesign, Variant, arms_of
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from recsys.domains.recommendations.rules.tables import BusinessRule, BusinessRuleChange
from recsys.domains.recommendations.rules.types import Rule, RuleKind
from recsys.domains.recommendations.tables import RecommendationModel
from recsys.errors import Conflict, Invalid, NotFound

HIDE: dict[str, Any] = {"name": "No socks", "kind": "hide", "target": {"tag": "socks"}}


def rule(**given: object) -> RuleIn:
    return RuleIn.model_validate(HIDE | given)


def create(session: Session, **given: object) -> BusinessRule:
    return rules.create(session, rule(**given), actor="ann")


def start(session: Session, *arms: str, name: str = "trial") -> None:
    session.merge(RecommendationModel(id=1, name="als-v1", version="1", is_active=True))
    design = ExperimentDesign.of(arms=arms_of(arms))
    ab_tests.start(session, name, design, salt="s", actor="ann", reason="try")


def test_a_rule_of_a_set_is_for_visitors_with_this_set_alone() -> None:
    of_set, of_all = Rule(1, "a", RuleKind.HIDE, rule_set="winter"), Rule(2, "b", RuleKind.HIDE)
    assert [of_set.is_for(each) for each in (None, "winter", "spring")] == [False, True, False]
    assert all(of_all.is_for(each) for each in (None, "winter", "spring"))


def test_sets_are_listed_and_released_with_a_recorded_change(session: Session) -> None:
    create(session)
    first = create(session, name="one", rule_set="winter")
    second = create(session, name="two", rule_set="winter", enabled=False)
    create(session, name="three", rule_set="spring")
    assert [(each.name, each.rules, each.enabled, each.experiments) for each in rules.rule_sets(session)] == [
        ("spring", 1, 1, []),
        ("winter", 2, 1, []),
    ]
    assert [row.name for row in rules.listed(session, limit=9, rule_set="winter")] == ["two", "one"]
    assert [row.id for row in rules.release_set(session, "winter", actor="bob")] == [first.id, second.id]
    assert [each.name for each in rules.rule_sets(session)] == ["spring"]
    assert (first.rule_set, first.version, second.enabled) == (None, 2, False)
    changes = session.scalars(
        select(BusinessRuleChange).where(BusinessRuleChange.actor == "bob").order_by(BusinessRuleChange.id)
    ).all()
    assert [(row.rule_id, row.action) for row in changes] == [
        (first.id, "replaced"),
        (second.id, "replaced"),
    ]
    assert changes[0].before is not None
    assert changes[0].after is not None
    differing = {key for key, value in changes[0].after.items() if changes[0].before[key] != value}
    assert differing <= {"rule_set", "version", "updated_at"}
    assert (changes[0].before["rule_set"], changes[0].after["rule_set"]) == ("winter", None)
    with pytest.raises(NotFound, match="No business rule is of the set winter; sets: spring"):
        rules.release_set(session, "winter", actor="bob")


def test_rules_of_a_compared_set_stay_as_they_are(session: Session) -> None:
    compared = create(session, name="one", rule_set="winter")
    other = create(session, name="two", rule_set="spring")
    of_all = create(session, name="three")
    start(session, "winter:0.5:rule_set=winter")
    assert ab_tests.compared_rule_sets(session) == {"winter": ["trial"]}
    changes: list[Any] = [
        lambda: create(session, name="four", rule_set="winter"),
        lambda: rules.replace(session, compared.id, rule(name="x"), version=None, actor="bob"),
        lambda: rules.replace(session, of_all.id, rule(rule_set="winter"), version=None, actor="bob"),
        lambda: rules.delete(session, compared.id, version=None, actor="bob"),
        lambda: rules.release_set(session, "winter", actor="bob"),
    ]
    for change in changes:
        with pytest.raises(Conflict, match="The experiment trial compares the set winter"):
            change()
    rules.replace(session, of_all.id, rule(name="five"), version=None, actor="bob")
    rules.release_set(session, "spring", actor="bob")
    assert other.rule_set is None
    ab_tests.stop(session, "trial", actor="bob", conclusion="seen", winner="winter")
    rules.release_set(session, "winter", actor="bob")
    assert rules.rule_sets(session) == []


def test_an_arm_needs_an_enabled_rule_of_its_set(session: Session) -> None:
    create(session, rule_set="spring")
    create(session, name="off", rule_set="winter", enabled=False)
    with pytest.raises(Invalid, match=r"no enabled business rule is of the set winter; .*: spring, winter"):
        start(session, "winter:0.5:rule_set=winter")
    with pytest.raises(Invalid, match="has none of the set winter"):
        arms_of(["winter:0.5:rules=off,rule_set=winter"])
    with pytest.raises(Invalid):
        arms_of(["winter:0.5:rule_set=Win Ter"])
    assert str(Variant(rule_set="winter")) == "rules of winter"
    assert not Variant(rule_set="winter").changes_model_only


def test_the_past_rules_of_a_set_are_known(session: Session) -> None:
    row = create(session, rule_set="winter")
    (past,) = rules.in_force_at(session, row.created_at)
    assert past.rule_set == "winter"
    start(session, "winter:0.5:rule_set=winter")
    labels = ("trial:winter", "trial:control", "trial:winter:fallback", "other:winter", None)
    assert [ab_tests.variant_of(session, each).rule_set for each in labels] == ["winter", *[None] * 4]
