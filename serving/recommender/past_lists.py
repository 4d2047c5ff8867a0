"""Why, and why not, at a past moment: from the impressions that were logged then.

An impression has the products of one page in their order, with scores, model and arm. The ranking of the
products that were not on the page is not logged: of these, only what the tables still prove is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.domains.recommendations.interactions.history import interactions_of
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.types import GUESTS, KNOWN_USERS, Rule
from recsys.domains.recommendations.segments import service as segments
from recsys.errors import Invalid, NotFound
from recsys.own_ids.answers import WithUsername
from serving.batch import interaction_index
from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules, matching_products
from serving.ranking.eligibility import SeenProducts
from serving.recommender.product_trace import ProductFeedback, TraceStepName, feedback_on

__all__ = ["PastImpression", "PastRule", "PastTrace", "trace_past"]

MAX_IMPRESSIONS = 20
"""Earlier impressions of the product that are named."""
MAX_INTERACTIONS = 1000
"""Interactions of a user with one product that are read."""


class PastImpression(BaseModel):
    """The product on one page that was shown to the user."""

    request_id: str
    placement: str = Field(description="The placement, or the name of the list on its page.")
    shown_at: datetime
    position: int
    score: float
    source: str
    model: str | None
    version: str | None
    generation: int | None
    arm: str | None


class PastRule(BaseModel):
    """A business rule that was in force on the placement, and whose target includes the product."""

    rule_id: int
    name: str
    kind: str
    segment: str | None = Field(description="The segment that the rule is for; null: everybody.")
    held: bool | None = Field(
        description="Whether it was for this user or guest; null: the members of its segment were found "
        "again since, and who was one then is not kept."
    )


class PastTrace(WithUsername):
    """Whether a product was in the last list that was shown before a moment, and why not."""

    product_id: int
    sku: str | None
    name: str | None
    user_id: int | None
    session_id: str | None
    at: datetime
    shown_at: datetime = Field(description="When the list was shown: the last one before `at`.")
    request_id: str
    placement: str
    source: str
    model: str | None
    version: str | None
    generation: int | None
    arm: str | None
    listed: bool = Field(description="Whether the product was on the page that was shown.")
    position: int | None
    score: float | None
    products: list[int] = Field(description="The products of that page, in their order.")
    first_position: int = Field(description="The position of the first of them: above 1 on later pages.")
    scores: list[float] = Field(description="The scores that they were shown with.")
    ranked_position: int | None = Field(
        description="Of a list that was drawn at random: the rank that it was drawn from; null of others."
    )
    lost_at: TraceStepName | None = Field(
        description="The step that lost it, as far as the tables prove it; `ranking` where they prove none."
    )
    summary: str
    rules: list[PastRule] = Field(description="Rules about the product, as they were then.")
    impressions: list[PastImpression] = Field(
        description="The product in any list of the user up to that moment, newest first."
    )
    feedback: list[ProductFeedback] = Field(description="What the user did with the product, ever.")


def trace_past(
    catalogue: Catalogue,
    product: int,
    *,
    user: int | None,
    session_id: str | None,
    placement: str,
    at: datetime,
) -> PastTrace:
    """Return whether the product was in the last list of a placement that the user saw up to a moment.

    Parameters
    ----------
    user, session_id
        Whose list it was; one of them is needed.
    placement
        The placement, or the shop's name of the list.
    at
        The moment.

    Raises
    ------
    Invalid
        There is neither a user nor a guest.
    NotFound
        The product is unknown, or no list was shown.
    """
    if user is None and session_id is None:
        raise Invalid("user or session_id: whose list is meant", field="user")
    row = catalogue.row(product)
    if row < 0:
        raise NotFound("There is no such product.")
    with unit_of_work() as session:
        lists = impressions.lists_of(
            session, user_id=user, session_id=session_id, shelf=placement, until=at, limit=1
        )
        if not lists:
            raise NotFound(
                f"No list “{placement}” was shown to this user or guest up to that moment, or it is older "
                "than the days that impressions are kept (`intake.exposure_days`)."
            )
        page = lists[0]
        shown = impressions.lists_of(
            session,
            user_id=user,
            session_id=session_id,
            product_id=product,
            until=at,
            limit=MAX_IMPRESSIONS,
        )
        position = _position(page, product)
        in_force = _rules_of(session, page)
        loss = None if position is not None else _loss(session, catalogue, row, page, in_force)
        name, sku = catalogue.label(product)
        return PastTrace(
            product_id=product,
            sku=sku,
            name=name,
            user_id=user,
            session_id=session_id,
            at=at,
            shown_at=page.shown_at,
            request_id=page.request_id,
            placement=page.shelf,
            source=page.source,
            model=page.model,
            version=page.version,
            generation=page.generation,
            arm=page.arm,
            listed=position is not None,
            position=position,
            score=None if position is None else page.scores[position - page.before - 1],
            products=list(page.products),
            first_position=page.before + 1,
            scores=list(page.scores),
            ranked_position=_ranked_position(page, product),
            lost_at=None if loss is None else loss[0],
            summary=_summary(page, product, position, None if loss is None else loss[1], shown),
            rules=[
                PastRule(
                    rule_id=rule.id, name=rule.name, kind=rule.kind, segment=rule.segment, held=each.held
                )
                for each in in_force
                if (rule := each.rule).holds_on(page.shelf, page.shelf)
                and matching_products(catalogue, rule.target, page.shown_at)[row]
            ],
            impressions=[_impression(each, product) for each in shown],
            feedback=feedback_on(session, product, user=user, session_id=session_id),
        )


def _position(page: Answered, product: int) -> int | None:
    return page.before + list(page.products).index(product) + 1 if product in page.products else None


def _ranked_position(page: Answered, product: int) -> int | None:
    """The rank in the list that a page was drawn from; None for a list that was not drawn."""
    candidates = list(page.candidates or ())
    return page.before + candidates.index(product) + 1 if product in candidates else None


def _summary(
    page: Answered, product: int, position: int | None, loss: str | None, shown: Sequence[Answered]
) -> str:
    """Where it was on the page, or what lost it and where this user saw it before in this list."""
    ranked = _ranked_position(page, product)
    drawn = "" if ranked is None else f" The list was drawn at random; the model had it at position {ranked}."
    if loss is None:
        return f"It was at position {position} of the list.{drawn}"
    if ranked is not None:
        loss = "Nothing excluded it: it was not drawn."
    before = next((each for each in shown if each.shelf == page.shelf), None)
    if before is None:
        return f"{loss}{drawn}"
    return (
        f"{loss}{drawn} They last saw it in this list at position {_position(before, product)}, "
        f"at {before.shown_at:%Y-%m-%d %H:%M} UTC."
    )


def _impression(page: Answered, product: int) -> PastImpression:
    place = list(page.products).index(product)
    return PastImpression(
        request_id=page.request_id,
        placement=page.shelf,
        shown_at=page.shown_at,
        position=page.before + place + 1,
        score=page.scores[place],
        source=page.source,
        model=page.model,
        version=page.version,
        generation=page.generation,
        arm=page.arm,
    )


@dataclass(frozen=True)
class _RuleThen:
    """A rule that was in force.

    Attributes
    ----------
    held
        For this user or guest; None where that is not known.
    """

    rule: Rule
    held: bool | None


def _rules_of(session: Session, page: Answered) -> list[_RuleThen]:
    """The rules that were in force: those of nobody's set, and those of the set of the list's arm."""
    variant = ab_tests.variant_of(session, page.arm)
    if not variant.rules:
        return []
    return [
        _RuleThen(rule, _was_for(session, rule.segment, page))
        for rule in rules.in_force_at(session, page.shown_at)
        if rule.is_for(variant.rule_set)
    ]


def _was_for(session: Session, segment: str | None, page: Answered) -> bool | None:
    if segment is None or segment in (GUESTS, KNOWN_USERS) or page.user_id is None:
        return segment in (None, GUESTS if page.user_id is None else KNOWN_USERS)
    return segments.was_member(session, segment, page.user_id, page.shown_at)


def _loss(
    session: Session, catalogue: Catalogue, row: int, page: Answered, in_force: Sequence[_RuleThen]
) -> tuple[TraceStepName, str]:
    """The step that lost a product that was not on the page."""
    product, moment = int(catalogue.ids[row]), page.shown_at
    if catalogue.created[row] > moment.timestamp():
        created = datetime.fromtimestamp(float(catalogue.created[row]), UTC)
        return TraceStepName.SOLD, f"It was added to the shop later, at {created:%Y-%m-%d %H:%M} UTC."
    seen = SeenProducts()
    if page.user_id is not None or page.session_id is not None:
        of_person = interactions_of(
            session,
            user_id=page.user_id,
            session_id=page.session_id,
            product_id=product,
            until=moment,
            limit=MAX_INTERACTIONS,
        )
        seen = interaction_index.of_rows(of_person)
    if product in seen.dismissed:
        return TraceStepName.HISTORY, "The user had dismissed it by then."
    if product in seen.bought and not catalogue.repeats[row]:
        text = "The user had bought it, and products of its category are not recommended again."
        return TraceStepName.HISTORY, text
    hiding = _hiding(catalogue, row, page, [each.rule for each in in_force if each.held])
    if hiding is not None:
        return TraceStepName.HIDE_RULES, f"The rule “{hiding.name}”{_for_members(hiding)} hid it then."
    perhaps = _hiding(catalogue, row, page, [each.rule for each in in_force if each.held is None])
    if perhaps is not None:
        return (
            TraceStepName.RANKING,
            f"The rule “{perhaps.name}”{_for_members(perhaps)} hid it, if the user was a member then: the "
            "members were found again since, and the former ones are not kept. Nothing else excluded it.",
        )
    last = page.before + len(page.products)
    return (
        TraceStepName.RANKING,
        f"Nothing excluded it: it ranked after the {last} products that were shown, or was not on sale. The "
        "ranking of products that were not shown is not logged.",
    )


def _hiding(catalogue: Catalogue, row: int, page: Answered, given: Sequence[Rule]) -> Rule | None:
    """The one of these rules that hides a product from the list; for whomever they are."""
    everybody = [replace(rule, segment=None) for rule in given]
    compiled = CompiledRules.compile(catalogue, everybody, page.shown_at)
    # the list has the name of its placement, unless the shop named it
    placement_rules = compiled.for_placement(page.shelf, page.shelf)
    if placement_rules.hidden_by[row] < 0:
        return None
    number = placement_rules.hides[int(placement_rules.hidden_by[row])].id
    return next(rule for rule in given if rule.id == number)


def _for_members(rule: Rule) -> str:
    return "" if rule.segment in (None, GUESTS, KNOWN_USERS) else f" for the segment {rule.segment}"
