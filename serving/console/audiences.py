"""For whom rules hold: the choices of forms, and lists before and after drafts for members alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules.types import GUESTS, KNOWN_USERS, Rule
from recsys.domains.recommendations.segments import service as segments
from recsys.own_ids.answers import usernames_of
from serving.merchandising.compiled_rules import CompiledRules
from serving.recommender.recommender import Recommender

__all__ = ["EVERYBODY", "DraftedRules", "audience_choices", "first_members"]

EVERYBODY = ("", "everybody")
SHOWN_MEMBERS = 10


def audience_choices(session: Session) -> list[tuple[str, str]]:
    """What a form offers, as value and text."""
    stored = [(each.name, f"{each.name} ({each.members:,} members)") for each in segments.listed(session)]
    return [EVERYBODY, (GUESTS, "guests"), (KNOWN_USERS, "known users"), *stored]


def first_members(name: str) -> list[tuple[int, str]]:
    """The first members of a stored segment, as number and own id; none of a reserved name."""
    if name in ("", GUESTS, KNOWN_USERS):
        return []
    with unit_of_work() as session:
        users = segments.members(session, name)[:SHOWN_MEMBERS].tolist()
        usernames = usernames_of(session, users)
    return [(user, usernames.get(user) or str(user)) for user in users]


@dataclass(frozen=True, eq=False)
class DraftedRules:
    """The rules in force, and these with drafts, for any visitor.

    Attributes
    ----------
    audience
        Whom the drafts are for.
    """

    recommender: Recommender
    drafts: Sequence[Rule]
    audience: str = ""
    _compiled: dict[tuple[CompiledRules, bool], CompiledRules] = field(default_factory=dict)

    def concern(self, user: int | None) -> bool:
        """Whether the drafts are for a user, or for a guest (None)."""
        if not self.audience:
            return True
        with unit_of_work() as session:
            return segments.concerns(session, self.audience, user)

    def of_visitor(self, user: int | None) -> tuple[CompiledRules, CompiledRules]:
        """Return the rules for a visitor, without the drafts and with them."""
        before, concerns = self.recommender.data_for(user).rules, self.concern(user)
        key = before, concerns
        if key not in self._compiled:
            drafts = [replace(draft, segment=None) for draft in self.drafts] if concerns else []
            self._compiled[key] = CompiledRules.compile(
                before.catalogue, [*before.rules, *drafts], before.moment, audience=before.audience
            )
        return before, self._compiled[key]
