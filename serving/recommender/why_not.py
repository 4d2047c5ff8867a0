"""Why, and why not: follows one product through the stages of a list, and names the step that lost it.

The list itself is the served one. The stages are those of `sources.LiveRanking`, run again for the same
request, so that the answer about a missing product is that of the code that left it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

from recsys.database.session import unit_of_work
from recsys.domains.products import service as products_service
from recsys.domains.recommendations.reasons import Kind, ReasonCode, reason
from recsys.domains.recommendations.rules.types import Rule
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from serving.merchandising.compiled_rules import matching_products
from serving.merchandising.rerank import RerankedList
from serving.ranking.filters import FilterResult, exclusions
from serving.ranking.strategies import rank
from serving.recommender.context import RequestContext, stored_in_postgresql
from serving.recommender.explanations import parts_of
from serving.recommender.product_trace import (
    MemberRank,
    ProductFeedback,
    ProductTrace,
    TouchingRule,
    TraceStep,
    TraceStepName,
    feedback_on,
)
from serving.recommender.request import MAX_POOL, NO_FILTERS, Placement, RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.recommender.sources import LiveRanking, RankingStages, entries_for, rerank_stored

__all__ = ["MAX_RANKED", "ServedList", "trace_products"]

MAX_RANKED = 5_000
"""Products of a ranking of this moment; more than `SCORE_UNIT` have no different scores."""

_STEP_OF_REASON = {
    "not_sold": TraceStepName.SOLD,
    "dismissed": TraceStepName.HISTORY,
    "bought": TraceStepName.HISTORY,
    "not_new": TraceStepName.HISTORY,
    "seeds": TraceStepName.PAGE_CONTENT,
    "cart": TraceStepName.PAGE_CONTENT,
    "on_page": TraceStepName.PAGE_CONTENT,
    "rules": TraceStepName.HIDE_RULES,
}
"""The step of each reason of `exclusions`; all others are filters of the request."""
_TEXTS = {
    "dismissed": "The user dismissed it, and has not taken that back.",
    "bought": "The user bought it, and products of its category are not recommended again after a purchase.",
    "not_new": "The list has products that are new to the user, and the user has interacted with this one.",
    "seeds": "The page displays it, or the list starts from it.",
    "cart": "It is in the cart.",
    "on_page": "Another list of the same page has it.",
    "category": "It is in none of the requested categories.",
    "brand": "It is of none of the requested brands.",
    "min_price": "Its price is below the requested minimum.",
    "max_price": "Its price is above the requested maximum.",
    "tags": "It lacks a requested tag.",
    "in_stock": "It is not in stock now, only on order.",
    "created_since": "It was added to the shop before the requested date.",
    "exclude": "The request excludes it by its number.",
}
_PASSED = {
    TraceStepName.SOLD: "It is on sale.",
    TraceStepName.FILTERS: "It passes the filters of the request.",
    TraceStepName.HISTORY: "Neither a dismissal nor a purchase excludes it.",
    TraceStepName.PAGE_CONTENT: "Neither the page nor the cart has it already.",
    TraceStepName.HIDE_RULES: "No rule hides it.",
    TraceStepName.POSITION_RULES: "No cap or pin keeps it out.",
    TraceStepName.DEADLINE: "The list was ready in time.",
}


@dataclass(frozen=True, eq=False)
class ServedList:
    """A list as it is served.

    Attributes
    ----------
    first
        Its first page.
    entries
        Those of all pages.
    """

    first: RecommendationResponse
    entries: Sequence[Entry]

    def position(self, product: int) -> int | None:
        """The position of a product in the whole list, from 1; None where it is not listed."""
        return next((place for place, entry in enumerate(self.entries, 1) if entry.product == product), None)


@dataclass(frozen=True)
class _Loss:
    """The step that lost a product, and a sentence about it.

    Attributes
    ----------
    rule_id
        The rule that removed it.
    """

    step: TraceStepName
    text: str
    rule_id: int | None = None


def trace_products(
    live: LiveRanking,
    request: RecommendationRequest,
    context: RequestContext,
    served: ServedList,
    products: Sequence[int],
) -> list[ProductTrace]:
    """Follow products of the catalogue through the stages of a served list.

    Parameters
    ----------
    context
        With the serving data of the visitor's arm.
    """
    traced = _TracedList(live, context, served, live.stages(request, context))
    return [_Tracer(traced, product).trace() for product in products]


@dataclass(frozen=True, eq=False)
class _TracedList:
    """What all products of a trace share."""

    live: LiveRanking
    context: RequestContext
    served: ServedList
    stages: RankingStages

    @cached_property
    def ranking(self) -> Sequence[Entry]:
        """The best eligible products, ranked."""
        return self.ranking_of(self.stages.filtered)

    def ranking_of(self, filtered: FilterResult) -> Sequence[Entry]:
        """Return the eligible products of `filtered`, the best `MAX_RANKED`, ranked."""
        data, request = self.context.data, self.served.first.request
        return rank(data, self.live.lookups, request, self.stages.user, filtered, pool=MAX_RANKED).entries


class _Tracer:
    """One product of one list; what needs a model is computed when it is first needed."""

    def __init__(self, traced: _TracedList, product: int) -> None:
        self.traced, self.live, self.context = traced, traced.live, traced.context
        self.served, self.stages, self.data = traced.served, traced.stages, traced.context.data
        self.request, self.product = self.served.first.request, product
        self.row = self.data.catalogue.row(product)
        self.position = self.served.position(product)
        self.placement_rules = self.data.rules.for_placement(self.request.placement, self.request.name)

    def trace(self) -> ProductTrace:
        request, response, position = self.request, self.served.first, self.position
        entry = None if position is None else self.served.entries[position - 1]
        loss = self._loss() if position is None else self._later_page(position)
        label, sku = self.data.catalogue.label(self.product)
        return ProductTrace(
            product_id=self.product,
            sku=sku,
            name=label,
            user_id=request.user,
            session_id=request.session,
            placement=request.placement,
            novelty=request.novelty,
            listed=position is not None,
            position=position,
            page=None if position is None else (position - 1) // request.limit + 1,
            score=None if entry is None else entry.score / SCORE_UNIT,
            reason=None if entry is None else self._reason(entry),
            lost_at=None if loss is None else loss.step,
            summary=f"It is at position {position} of the list." if loss is None else loss.text,
            steps=list(self._steps(loss)),
            source=response.source,
            model=response.model,
            version=response.version,
            generation=response.generation,
            arm=response.arm,
            made_at=datetime.fromtimestamp(response.made_at, UTC) if response.made_at else None,
            ranked_position=self.ranked_position,
            ranked_products=len(self.full_ranking),
            members=self.members,
            explanation=self._explanation(),
            rules=self._rules(loss),
            feedback=self._feedback(),
        )

    # --- the stages ------------------------------------------------------------------------------

    @cached_property
    def exclusion(self) -> str | None:
        """The first reason for which the product is not eligible; None for an eligible one."""
        attributes = self.live.lookups.filters.attributes
        reasons = exclusions(self.request, self.stages.user.seen, self.data.rules, attributes)
        return next((reason for reason, removed in reasons if removed[self.row]), None)

    @cached_property
    def full_ranking(self) -> Sequence[Entry]:
        """The best eligible products, this one among them if it is good enough, ranked."""
        filtered = self.stages.filtered
        if filtered.eligible[self.row]:
            return self.traced.ranking
        eligible = filtered.eligible.copy()
        eligible[self.row] = True
        return self.traced.ranking_of(replace(filtered, eligible=eligible))

    @cached_property
    def ranked_position(self) -> int | None:
        """The position in `full_ranking`, from 1; None behind its end."""
        places = enumerate(self.full_ranking, 1)
        return next((place for place, entry in places if entry.product == self.product), None)

    @cached_property
    def members(self) -> list[MemberRank]:
        """The opinions of the model's members; empty where no model ranks the list by a history."""
        model, history = self.stages.ranked.model, self.stages.user.history
        by_history = (Placement.FOR_YOU, Placement.BUY_AGAIN)
        if model is None or history is None or self.request.placement not in by_history:
            return []
        only = self.data.catalogue.ids[self.stages.filtered.eligible]
        if not self.stages.filtered.eligible[self.row]:
            only = self.data.catalogue.ids[self.data.catalogue.mark([self.product, *only.tolist()])]
        with model.lock:
            opinions = model.model.opinions_on(
                history, self.product, exclude=self.request.novelty.excluded, only=only
            )
        return [
            MemberRank(member=each.member, score=each.score, position=each.position, names=each.names)
            for each in opinions
        ]

    @property
    def is_filling(self) -> bool:
        """Whether the product is only among the popular products that complete the ranking."""
        position = self.ranked_position
        if position is None:
            return False
        entry = self.full_ranking[position - 1]
        return entry.kind is Kind.POPULAR and entry.reason is ReasonCode.POPULAR

    # --- the step that lost it -------------------------------------------------------------------

    def _later_page(self, position: int) -> _Loss | None:
        limit = self.request.limit
        if position <= limit:
            return None
        page = (position - 1) // limit + 1
        return _Loss(TraceStepName.PAGE, f"It is at position {position}: on page {page} of {limit} products.")

    def _loss(self) -> _Loss:
        """The step that lost a product that is not listed."""
        if self.exclusion is not None:
            return self._excluded(self.exclusion)
        if self.served.first.source == "stored":
            return self._lost_from_stored()
        in_pool = any(entry.product == self.product for entry in self.stages.ranked.entries)
        if not in_pool:
            return self._lost_in_ranking(MAX_POOL)
        if all(entry.product != self.product for entry in self.stages.reranked.entries):
            return self._lost_to_rules(self.stages.reranked)
        if not self.served.first.complete:
            return _Loss(
                TraceStepName.DEADLINE,
                "The list was not ready in time, and a list that was ready was returned instead; a request "
                f"without a deadline has the product at position {self.ranked_position}.",
            )
        return _Loss(
            TraceStepName.DEADLINE, "The shop changed while the list was made: the next one has the product."
        )

    def _excluded(self, reason: str) -> _Loss:
        step = _STEP_OF_REASON.get(reason, TraceStepName.FILTERS)
        if reason == "not_sold":
            return _Loss(step, self._why_not_sold())
        if reason == "rules":
            rule = self.placement_rules.hides[int(self.placement_rules.hidden_by[self.row])]
            for_whom = "" if rule.segment is None else f" from {rule.segment}"
            return _Loss(step, f"The rule “{rule.name}” hides it{for_whom}.", rule.id)
        name, _, attribute = reason.partition(".")
        text = f"Its attribute “{attribute}” is another." if name == "attr" else _TEXTS[reason]
        return _Loss(step, text)

    def _why_not_sold(self) -> str:
        with unit_of_work() as session:
            status = products_service.get(session, self.product).status
        if status != "active":
            return (
                f"It is not on sale: its status is “{status or 'unknown'}”, and only active ones are listed."
            )
        return "It is not on sale: no variant is in stock or may be sold without stock."

    def _lost_from_stored(self) -> _Loss:
        """The step that lost an eligible product that the user's stored list does not have."""
        response, request = self.served.first, self.request
        stored = self.context.stored
        if stored is None and request.user is not None:
            stored = stored_in_postgresql(request.user, self.context.data.arm_generation)
        entries: Sequence[Entry] = ()
        if stored is not None:
            entries = entries_for(request, stored)
        if any(entry.product == self.product for entry in entries):
            filtered = None if request.filters == NO_FILTERS else self.stages.filtered
            reranked = rerank_stored(entries, request, self.data, self.stages.user.seen, filtered)
            if all(entry.product != self.product for entry in reranked.entries):
                return self._lost_to_rules(reranked)
            return _Loss(
                TraceStepName.HISTORY,
                "The stored list was made when the user had just bought it or interacted with it.",
            )
        position, length = self.ranked_position, max(len(entries), len(self.served.entries))
        if position is not None and position <= length:
            made_at = datetime.fromtimestamp(response.made_at, UTC)
            return _Loss(
                TraceStepName.STORED_LIST,
                f"The stored list was made at {made_at:%Y-%m-%d %H:%M} UTC and does not have it; a list that "
                f"is ranked now has it at position {position}.",
            )
        return self._lost_in_ranking(length)

    def _lost_in_ranking(self, length: int) -> _Loss:
        """The step that lost an eligible product that is not among the best `length` ones."""
        position, total = self.ranked_position, len(self.full_ranking)
        if position is None and self.request.placement is Placement.BUY_AGAIN:
            return _Loss(TraceStepName.CANDIDATES, "The list has only products that the user bought before.")
        model = self.stages.ranked.model
        is_unknown = position is None and model is not None and self.product not in model.model.items_
        if is_unknown or (self.is_filling and model is not None):
            return _Loss(TraceStepName.CANDIDATES, self._no_candidate())
        place = f"behind the best {total:,}" if position is None else f"at position {position:,} of {total:,}"
        text = f"It is {place} in the ranking; the list ends after {length:,}."
        return _Loss(TraceStepName.RANKING, text)

    def _no_candidate(self) -> str:
        model = self.stages.ranked.model
        assert model is not None
        if self.product not in model.model.items_:
            return f"The model {model.registered.name} does not know it: it came after the training."
        if self.members:
            return "No member of the model has it among its candidates."
        return f"The model {model.registered.name} does not rank it for this list."

    def _lost_to_rules(self, reranked: RerankedList) -> _Loss:
        rule_id = reranked.passed_over.get(self.product)
        rule = next((rule for rule in self.data.rules.rules if rule.id == rule_id), None)
        text = "Pinned products and caps of the placement leave no place for it."
        if rule is not None:
            text = (
                f"The rule “{rule.name}” keeps it out: it allows at most {rule.most} such products on a page."
            )
        return _Loss(TraceStepName.POSITION_RULES, text, rule_id)

    # --- sentences and evidence -------------------------------------------------------------------

    def _steps(self, loss: _Loss | None) -> Iterator[TraceStep]:
        lost = False
        for name in TraceStepName:
            if name is TraceStepName.STORED_LIST and self.served.first.source != "stored":
                continue
            if lost:
                yield TraceStep(name=name, passed=None, text="Not reached.")
            elif loss is not None and loss.step is name:
                lost = True
                yield TraceStep(name=name, passed=False, text=loss.text)
            else:
                yield TraceStep(name=name, passed=True, text=_PASSED.get(name) or self._passed(name))

    def _passed(self, name: TraceStepName) -> str:
        """A sentence about a step without a fixed one."""
        if name is TraceStepName.CANDIDATES:
            return self._candidate()
        if name is TraceStepName.RANKING:
            if self.ranked_position is None:
                return "It is not in a list that is ranked now; the stored list has it."
            total = len(self.full_ranking)
            return f"It is at position {self.ranked_position:,} of {total:,} in a ranking of this moment."
        if name is TraceStepName.STORED_LIST:
            return "The user's stored list has it."
        return f"It is at position {self.position} of the list."

    def _candidate(self) -> str:
        naming = [each.member for each in self.members if each.names]
        if naming:
            return f"It is a candidate by {', '.join(naming)}."
        model = self.stages.ranked.model
        if model is None:
            return "No model ranks this list: its products are chosen by counts."
        if self.is_filling:
            return "No model ranks it: it is among the popular products that complete the list."
        return f"The model {model.registered.name} ranks it."

    def _reason(self, entry: Entry) -> str:
        return reason(entry.reason, entry.evidence, self.data.catalogue.name(entry.evidence))["text"]

    def _explanation(self) -> dict[str, object] | None:
        model, position = self.stages.ranked.model, self.ranked_position
        if model is None or position is None:
            return None
        entry = self.full_ranking[position - 1]
        return parts_of(model, self.stages.user, [entry], self.request.novelty).get(self.product)

    def _rules(self, loss: _Loss | None) -> list[TouchingRule]:
        reranked = self.stages.reranked
        deciding = set(reranked.rules.get(self.product, ()))
        return [
            TouchingRule(
                rule_id=rule.id,
                name=rule.name,
                kind=rule.kind,
                segment=rule.segment,
                segment_refreshed_at=self._found_at(rule),
                decides=rule.name in deciding or (loss is not None and loss.rule_id == rule.id),
            )
            for rule in self.data.rules.rules
            if self._is_touched_by(rule)
        ]

    def _found_at(self, rule: Rule) -> datetime | None:
        members = None if rule.segment is None else self.data.rules.members.get(rule.segment)
        return None if members is None else members.refreshed_at

    def _is_touched_by(self, rule: Rule) -> bool:
        if not rule.holds_on(self.request.placement, self.request.name):
            return False
        rules = self.data.rules
        return bool(matching_products(rules.catalogue, rule.target, rules.moment)[self.row])

    def _feedback(self) -> list[ProductFeedback]:
        with unit_of_work() as session:
            return feedback_on(session, self.product, user=self.request.user, session_id=self.request.session)
