"""Keeps the business rules current: what somebody writes, and what begins or ends by the clock."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.rules import service as rules_service
from recsys.domains.recommendations.rules.types import Rule
from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules

__all__ = ["RuleRefresher"]

AGEING = timedelta(minutes=1)
"""So late a product may stop being new, where a rule says how many days one stays so."""


class RuleRefresher:
    """Rules that are in force, and the same worked out for a catalogue.

    `refresh` belongs into the background, with `compiled` called after it for the catalogue that is served;
    a request then finds the work done. A rule may come in late by the time between two refreshes.
    """

    def __init__(self) -> None:
        self.current: tuple[Rule, ...] = ()
        """The enabled rules whose time it is, the first to decide first."""
        self._ahead: list[Rule] = []
        self._seen: tuple[int, int] | None = None
        self._compiled: CompiledRules | None = None

    def refresh(self, session: Session) -> bool:
        """Bring `current` up to date; True when something changed. Reads the rules only after a write."""
        # read before the rules: what commits in between is read twice rather than never
        seen = rules_service.fingerprint(session)
        if seen != self._seen:
            self._ahead = rules_service.not_over(session, clock.now())
            self._seen = seen
        return self.advance()

    def advance(self) -> bool:
        """Only what the clock says: rules that begin and end. It needs no database."""
        moment = clock.now()
        force = tuple(rule for rule in self._ahead if rule.in_force(moment))
        if force == self.current:
            return False
        self.current = force
        return True

    def compiled(self, catalogue: Catalogue) -> CompiledRules:
        """The current rules for this catalogue; made anew when either changed, or what is new has aged."""
        rules, made, moment = self.current, self._compiled, clock.now()
        if (
            made is None
            or made.catalogue is not catalogue
            or made.rules != rules
            or (_ages(rules) and not timedelta(0) <= moment - made.moment < AGEING)
        ):
            made = CompiledRules.compile(catalogue, rules, moment)
            self._compiled = made
        return made


def _ages(rules: tuple[Rule, ...]) -> bool:
    return any(rule.target.created_within_days is not None for rule in rules)
