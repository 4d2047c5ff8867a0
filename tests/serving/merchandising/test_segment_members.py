"""Rules of a visitor are those that a list of whom they are for leaves, whatever the rules and segments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from recsys.domains.recommendations.rules import service as rules_service
from recsys.domains.recommendations.rules.schemas import RuleIn
from recsys.domains.recommendations.rules.types import GUESTS, KNOWN_USERS, Rule
from recsys.domains.recommendations.segments import service as segments
from serving.catalogue.catalogue import Catalogue
from serving.merchandising import compiled_rules
from serving.merchandising.compiled_rules import CompiledRules
from serving.merchandising.rule_engine import RuleCandidates, apply
from serving.merchandising.segment_members import SegmentMembers, refreshed_members
from serving.state.rule_refresher import RuleRefresher
from tests.serving.rule_shop import NOW, any_rule, queries, shops

KINDS = ("pin", "boost", "bury", "hide", "cap", "minimum_new")
NAMES = ("a", "b", GUESTS, KNOWN_USERS)
USERS = st.one_of(st.none(), st.integers(1, 6))


@st.composite
def ruled_shops(draw: st.DrawFn) -> tuple[Catalogue, list[Rule], dict[str, set[int]]]:
    rules = [
        replace(draw(any_rule(number, KINDS)), segment=draw(st.sampled_from([None, *NAMES])))
        for number in range(1, draw(st.integers(1, 5)) + 1)
    ]
    members = {name: draw(st.sets(st.integers(1, 6))) for name in ("a", "b")}
    return draw(shops()), rules, members


def loaded(members: dict[str, set[int]]) -> dict[str, SegmentMembers]:
    return {
        name: SegmentMembers(1, NOW, np.array(sorted(users), dtype=np.int32))
        for name, users in members.items()
    }


def listed(compiled: CompiledRules, query: dict[str, object]) -> list[int]:
    products = np.array(query["products"], dtype=np.int64)
    candidates = RuleCandidates(
        products, np.array(query["scores"], dtype=np.float64), np.isin(products, query["novel"])
    )
    limit = query["limit"]
    assert isinstance(limit, int)
    found: list[int] = apply(compiled, candidates, placement="for_you", limit=limit).products.tolist()
    return found


@given(ruled_shops(), queries(), st.lists(USERS, min_size=1, max_size=4))
def test_a_visitor_has_the_rules_for_everybody_and_for_their_segments(
    shop: tuple[Catalogue, list[Rule], dict[str, set[int]]],
    query: dict[str, object],
    visitors: list[int | None],
) -> None:
    catalogue, rules, members = shop
    compiled = CompiledRules.compile(catalogue, rules, NOW, members=loaded(members))
    for user in visitors:
        mine = (
            {GUESTS} if user is None else {KNOWN_USERS, *(name for name in members if user in members[name])}
        )
        expected = [replace(rule, segment=None) for rule in rules if rule.segment in (None, *mine)]
        alone = CompiledRules.compile(catalogue, expected, NOW)
        assert listed(compiled.of_visitor(user), query) == listed(alone, query)
    # a snapshot that was not narrowed has the rules for everybody alone
    plain = CompiledRules.compile(catalogue, [rule for rule in rules if rule.segment is None], NOW)
    assert listed(compiled, query) == listed(plain, query)
    assert bool(compiled.segments) == any(rule.segment for rule in rules)


def test_without_a_segment_the_rules_are_the_same_object(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue.of([], parents={})
    compiled = CompiledRules.compile(catalogue, [], NOW)
    assert compiled.of_visitor(1) is compiled
    monkeypatch.setattr(compiled_rules, "MOST_AUDIENCES", 2)
    rule = RuleIn.model_validate({"name": "r", "kind": "boost", "factor": 2, "segment": GUESTS}).as_rule(1)
    named = [replace(rule, id=number, segment=f"s{number}") for number in range(1, 5)]
    members = loaded({f"s{number}": {number} for number in range(1, 5)})
    many = CompiledRules.compile(catalogue, named, NOW, members=members)
    for user in (1, 2, 3, 4, 1):
        assert [each.segment for each in many.of_visitor(user).rules] == [f"s{user}"]
        assert many.of_visitor(user).of_visitor(user) is many.of_visitor(user)
        assert len(many._of_audiences) <= 2


@given(st.sets(st.integers(1, 2**31 - 1), max_size=50), st.integers(1, 2**31 - 1))
def test_members_are_found(users: set[int], other: int) -> None:
    members = loaded({"a": users})["a"]
    assert all(members.has(user) for user in users)
    assert members.has(other) == (other in users)


def test_members_are_read_again_where_they_changed_alone(session: Session) -> None:
    for name in ("a", "b"):
        segments.write(session, name, {"kind": "given"}, actor="test")
        segments.set_members(session, name, [1, 2])
    first = refreshed_members(session, ("a", "b", "gone"), {})
    assert refreshed_members(session, ("a", "b", "gone"), first) is first
    segments.set_members(session, "a", [2, 3])
    second = refreshed_members(session, ("a", "b"), first)
    assert second["b"] is first["b"]
    assert second["a"].users.tolist() == [2, 3]
    assert second["a"].refreshed_at is not None
    assert refreshed_members(session, (), second) == {}


def test_the_refresher_compiles_again_for_new_members_and_not_otherwise(session: Session) -> None:
    refresher, catalogue = RuleRefresher(), Catalogue.of([], parents={})
    segments.write(session, "a", {"kind": "given"}, actor="test")
    rule = {"name": "r", "kind": "boost", "factor": 2, "segment": "a"}
    rules_service.create(session, RuleIn.model_validate(rule), actor="test")
    assert refresher.refresh(session)
    compiled = refresher.compiled(catalogue)
    assert compiled.of_visitor(1).rules == ()
    assert not refresher.refresh(session)
    assert refresher.compiled(catalogue) is compiled
    segments.set_members(session, "a", [1])
    assert refresher.refresh(session)
    assert [each.name for each in refresher.compiled(catalogue).of_visitor(1).rules] == ["r"]
