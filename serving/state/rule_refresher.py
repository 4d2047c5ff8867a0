"""Keeps the business rules current: changed rules, and rules that begin or end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.rules import service as rules_service
from recsys.domains.recommendations.rules.types import Rule
from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules
from serving.merchandising.segment_members import SegmentMembers, refreshed_members, stored_names

__all__ = ["RuleRefresher"]

MAX_AGE_ERROR = timedelta(minutes=1)
"""How late a rule about new products may notice that a product is no longer new."""


class RuleRefresher:
    """The rules in force, also compiled for a catalogue.

    `refresh` is called in the background, and `compiled` after it for the catalogue that is served, so that
    requests need not compile. A rule may apply late by the time between two refreshes.
    """

    def __init__(self) -> None:
        self.current: tuple[Rule, ...] = ()
        """The rules in force, also those of sets, in order of precedence."""
        self._not_over: list[Rule] = []
        self._fingerprint: tuple[int, int] | None = None
        self._compiled: dict[str | None, CompiledRules] = {}
        self._members: Mapping[str, SegmentMembers] = {}
        """Of the stored segments that rules name."""

    def refresh(self, session: Session) -> bool:
        """Bring `current` up to date; True when something changed. Reads the rules only after a write."""
        # read before the rules: a commit in between is read twice rather than never
        fingerprint = rules_service.fingerprint(session)
        if fingerprint != self._fingerprint:
            self._not_over = rules_service.not_over(session, clock.now())
            self._fingerprint = fingerprint
        before = self._members
        names = stored_names(self._not_over)
        if names or before:
            self._members = refreshed_members(session, names, before)
        return self.advance() or self._members is not before

    def advance(self) -> bool:
        """Begin and end rules by the clock, without the database; True when `current` changed."""
        moment = clock.now()
        in_force = tuple(rule for rule in self._not_over if rule.in_force(moment))
        if in_force == self.current:
            return False
        self.current = in_force
        return True

    def compiled(self, catalogue: Catalogue, rule_set: str | None = None) -> CompiledRules:
        """Return the rules for everybody compiled for this catalogue; cached until an input changes.

        Parameters
        ----------
        rule_set
            With the rules of this set.
        """
        rules = tuple(rule for rule in self.current if rule.is_for(rule_set))
        compiled_rules, moment = self._compiled.get(rule_set), clock.now()
        members = self._members
        if (
            compiled_rules is None
            or compiled_rules.catalogue is not catalogue
            or compiled_rules.rules != rules
            or compiled_rules.members is not members
            or (_depends_on_age(rules) and not timedelta(0) <= moment - compiled_rules.moment < MAX_AGE_ERROR)
        ):
            compiled_rules = CompiledRules.compile(catalogue, rules, moment, members=members)
            self._compiled[rule_set] = compiled_rules
        return compiled_rules

    def compiled_sets(self, catalogue: Catalogue, names: Collection[str]) -> dict[str, CompiledRules]:
        """Return the rules for everybody with those of each of these sets; other sets are forgotten.

        What is compiled holds its catalogue, which would stay in memory for as long as the process lives.
        """
        self._compiled = {name: each for name, each in self._compiled.items() if name in (None, *names)}
        return {name: self.compiled(catalogue, name) for name in names}


def _depends_on_age(rules: tuple[Rule, ...]) -> bool:
    return any(rule.target.created_within_days is not None for rule in rules)
