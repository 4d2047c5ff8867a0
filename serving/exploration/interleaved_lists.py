"""Interleaved lists of an experiment: the products of two arms in one list, with the team of each place.

A hash of the request tosses the coins: the same request id gives the same list again.
docs/adr/0028-interleaved-lists.md has the reasons.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.ranking.interleaving import interleave
from recsys.domains.recommendations.ab_tests.assignment import FALLBACK, INTERLEAVED, fallback_label, label
from recsys.domains.recommendations.stored_lists.codec import Entry
from serving.exploration.order import digest, placed
from serving.merchandising.compiled_rules import PlacementRules
from serving.recommender.context import RequestContext
from serving.recommender.response import RecommendationResponse
from serving.state.ab_assignment import RunningTest

__all__ = ["interleaved"]

MOST_PLACES = 30
"""Places from the top that are interleaved: few visitors look further, and more credits take longer."""


def interleaved(
    test: RunningTest,
    control: RecommendationResponse,
    challenger: RecommendationResponse,
    visitor: RequestContext,
    request_id: str,
) -> RecommendationResponse:
    """Return one list of both arms' lists; the control's where there is nothing to compare.

    Products that are pinned for everybody keep their places, which belong to no team. A list under a cap or a
    minimum share is the control's, outside of the experiment: products of two lists could break them
    together. So is, as a fallback, a list for which either arm has no list of its own model.

    Parameters
    ----------
    control, challenger
        The lists of the arms for one request.
    visitor
        The context of the request, before an arm changes it.
    request_id
        Decides how the coins fall: the same id gives the same list.
    """
    request, design, data = control.request, test.test.design, visitor.data
    plain = replace(control, arm=None, arm_propensity=None)
    variant = design.arms[1].variant
    rules = data.rules.for_placement(request.placement, request.name) if data.rules.rules else None
    # the challenger has these rules, too
    limiting = rules
    if variant.rule_set is not None:
        of_set = data.rule_sets[variant.rule_set].of_visitor(request.user)
        limiting = of_set.for_placement(request.placement, request.name)
    if limiting is not None and (limiting.caps or limiting.minimums):
        return plain
    is_fallback = any(
        each.arm is None or each.arm.endswith(f":{FALLBACK}") or not each.complete
        for each in (control, challenger)
    )
    if is_fallback:
        return replace(
            plain,
            arm=fallback_label(test.test.name, INTERLEAVED),
            arm_propensity=design.traffic,
            complete=control.complete and challenger.complete,
        )
    # a page's worth of each is enough: when one has no more, the page is full
    entries = {entry.product: entry for entry in [*challenger.entries, *control.entries]}
    fixed = _pinned(control, rules, visitor) if variant.rules else {}
    pinned = {entry.product for entry in fixed.values()}
    by_control, by_challenger = (
        [entry.product for entry in response.entries if entry.product not in pinned]
        for response in (control, challenger)
    )
    size = max(0, min(request.limit, MOST_PLACES) - len(fixed))
    generator = np.random.default_rng(int.from_bytes(digest("interleaving", request, request_id)))
    places = interleave(by_control, by_challenger, size, method=design.credit, generator=generator)
    listed = set(places.products)
    # what follows goes on in the control's order
    rest = [entry for entry in [*control.entries, *control.rest] if entry.product not in listed | pinned]
    placed_entries = placed([entries[product] for product in places.products], fixed)
    page, rest = [*placed_entries, *rest][: request.limit], [*placed_entries, *rest][request.limit :]
    team = dict(zip(places.products, places.teams, strict=True))
    chance = dict(zip(places.products, places.chances, strict=True))
    credit = dict(zip(places.products, places.credits, strict=True))
    return replace(
        control,
        entries=page,
        rest=rest,
        model=f"{control.model}+{challenger.model}"[:100],
        arm=label(test.test.name, INTERLEAVED),
        arm_propensity=design.traffic,
        teams=[team.get(entry.product) for entry in page],
        propensities=[chance.get(entry.product, 1.0) for entry in page],
        credits=[credit.get(entry.product, 0.0) for entry in page],
    )


def _pinned(
    control: RecommendationResponse, rules: PlacementRules | None, visitor: RequestContext
) -> dict[int, Entry]:
    """The pinned products of the control's page by their places, from 0."""
    if rules is None or not rules.pins:
        return {}
    rows = {row for _, of_pin in rules.pins for row in of_pin}
    catalogue = visitor.data.catalogue
    return {
        place: entry for place, entry in enumerate(control.entries) if catalogue.row(entry.product) in rows
    }
