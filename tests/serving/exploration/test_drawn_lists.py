"""Drawn lists: the rules hold, the propensities are those of the draw, and a retry gets the same list."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.design import ExperimentDesign, arms_of
from recsys.domains.recommendations.rules.types import Rule, RuleTarget
from recsys.settings import get_settings
from recsys.settings.exploration import ExplorationSettings
from recsys.write_buffer import drain
from serving.catalogue.catalogue import Catalogue
from serving.exploration.drawn_lists import Explorer
from serving.merchandising.compiled_rules import CompiledRules
from serving.ranking.eligibility import SeenProducts
from serving.recommender.request import Filters, Placement, RecommendationRequest
from serving.recommender.response import narrowing
from serving.server.app import create_app
from tests.serving.api.answers import ask, execute, ids
from tests.serving.exploration.drawing import ALWAYS, NOTHING, products, ranked
from tests.serving.rule_shop import NOW, any_rule, row, rule, shops
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.waiting import until


@st.composite
def some_rules(draw: st.DrawFn) -> list[Rule]:
    kinds = draw(
        st.sampled_from([["pin"], ["pin", "hide", "boost"], ["pin", "cap", "bury"], ["minimum_new"]])
    )
    return [draw(any_rule(number, kinds)) for number in range(1, draw(st.integers(1, 4)))]


@given(shops(), some_rules(), st.integers(1, 12), st.text("abc", min_size=1))
def test_the_rules_hold_and_propensities_are_those_of_the_draw(
    shop: Catalogue, rules: list[Rule], limit: int, request_id: str
) -> None:
    request = RecommendationRequest(user=7, limit=limit)
    before, data = ranked(shop, rules, request)
    after = Explorer(ALWAYS).drawn(before, data, NOTHING, request_id)
    assert sorted(products(after)) == sorted(products(before)), "no product is lost, added or repeated"
    assert len(after.entries) == len(before.entries)
    if any(each.kind == "minimum_new" for each in rules):
        assert after is before
    if after.propensities is None:
        assert after is before
        return
    pinned = {product for each in rules if each.kind == "pin" for product in each.target.product_ids or ()}
    for place, product in enumerate(products(before)):
        if product in pinned:
            assert products(after)[place] == product, "pins keep their places on every page"
    capped = any(each.kind == "cap" for each in rules)
    if capped:
        assert {e.product for e in after.entries} == {e.product for e in before.entries}, "so pages obey it"
    pool = products(before)[: limit if capped else max(limit, ALWAYS.depth)]
    assert after.candidates == [product for product in pool if product not in pinned]
    weights = {
        product: float(np.exp(-rank / ALWAYS.temperature)) for rank, product in enumerate(after.candidates)
    }
    assert len(after.propensities) == len(after.entries)
    for entry, propensity in zip(after.entries, after.propensities, strict=True):
        if entry.product in pinned:
            assert propensity == 1.0
        else:
            assert propensity == pytest.approx(weights[entry.product] / sum(weights.values()))
            del weights[entry.product]


def test_draws_come_as_often_as_their_propensity_says() -> None:
    request = RecommendationRequest(user=7, limit=2)
    before, data = ranked(Catalogue.of([row(n) for n in range(1, 6)]), [], request)
    explorer, draws = Explorer(ALWAYS), 6_000
    counted: Counter[tuple[int, ...]] = Counter()
    chance: dict[tuple[int, ...], float] = {}
    for number in range(draws):
        after = explorer.drawn(before, data, NOTHING, f"request {number}")
        page = tuple(entry.product for entry in after.entries)
        counted[page] += 1
        chance[page] = float(np.prod(after.propensities or ()))
    assert sum(chance.values()) == pytest.approx(1.0), "every page was drawn"
    for page, expected in chance.items():
        assert abs(counted[page] / draws - expected) < 5 * np.sqrt(expected * (1 - expected) / draws)


def test_products_that_may_not_be_displayed_are_not_drawn() -> None:
    shop = Catalogue.of([row(n, shown=n != 4) for n in range(1, 9)])
    request = RecommendationRequest(user=7, limit=2)
    hide = rule(1, "hide", RuleTarget(product_ids=(5,)))
    response, data = ranked(shop, [], request)
    sold_out = response.entries[0]._replace(product=4)
    data = replace(data, rules=CompiledRules.compile(shop, [hide], NOW))
    response = replace(response, rest=[sold_out, *response.rest])
    seen = SeenProducts(dismissed={6})
    pages = [Explorer(ALWAYS).drawn(response, data, seen, f"{number}") for number in range(200)]
    assert {entry.product for page in pages for entry in page.entries} == {1, 2, 3, 7, 8}


def test_a_share_of_the_requests_is_drawn_the_same_ones_again() -> None:
    request, share = RecommendationRequest(user=7), 0.2
    explorer = Explorer(ExplorationSettings(share=share))
    drawn = [explorer.draws(request, f"{number}") for number in range(4_000)]
    assert abs(np.mean(drawn) - share) < 5 * np.sqrt(share * (1 - share) / len(drawn))
    assert drawn == [explorer.draws(request, f"{number}") for number in range(4_000)]
    assert not any(explorer.draws(replace(request, explain=True), f"{number}") for number in range(100))
    assert not any(Explorer(ExplorationSettings()).draws(request, f"{number}") for number in range(100))


@pytest.mark.parametrize(
    "wrong", [{"share": 0.51}, {"share": -0.1}, {"share": "nan"}, {"temperature": 0}, {"depth": 1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ExplorationSettings(**wrong)


@pytest.fixture
def exploring_client(scored_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The application of the scored shop, half of whose lists are drawn."""
    monkeypatch.setenv("RECSYS_EXPLORATION__SHARE", "0.5")
    get_settings.cache_clear()
    with running(create_app()) as found:
        yield found


def test_drawn_lists_are_logged_as_they_were_displayed(
    exploring_client: httpx.Client, scored_shop: Shop
) -> None:
    plain = ids(ask(exploring_client, 1, limit=100, explain=True))
    answers: dict[str, dict[str, Any]] = {}
    path = "/api/v1/users/1/recommendations"
    for number in range(40):
        headers = {"X-Request-Id": f"request-{number}"}
        answer = exploring_client.get(path, params={"limit": 10}, headers=headers).json()
        assert ids(exploring_client.get(path, params={"limit": 10}, headers=headers).json()) == ids(answer)
        answers[answer["provenance"]["request_id"]] = answer
    explored = {name for name, answer in answers.items() if answer["provenance"]["explored"]}
    assert 5 < len(explored) < 35
    for name, answer in answers.items():
        assert (ids(answer) == plain[:10]) == (name not in explored)
        page = exploring_client.get(path, params={"limit": 20, "cursor": answer["next_cursor"]}).json()
        assert page["provenance"]["explored"] is False
        assert not set(ids(page)) & set(ids(answer))
        if name in explored:
            # what was passed over comes first on the next page
            passed_over = [product for product in plain[:50] if product not in ids(answer)]
            assert ids(page) == passed_over[:20]
    query = (
        "SELECT request_id, product_ids, propensities, candidates FROM recommendations_db.exposures "
        "WHERE request_id LIKE 'request-%%'"
    )

    def logged() -> bool:
        drain.run(threading.Event(), once=True)
        return {each[0] for each in execute(scored_shop, query)} >= set(answers)

    until(logged)
    rows = execute(scored_shop, query)
    for name, listed, propensities, candidates in rows:
        if name not in answers:
            continue
        assert listed == ids(answers[name])
        assert (propensities is not None) == (name in explored)
        if propensities is not None:
            assert candidates == plain[:50]
            weights = {product: float(np.exp(-rank / 10.0)) for rank, product in enumerate(candidates)}
            for product, propensity in zip(listed, propensities, strict=True):
                assert propensity == pytest.approx(
                    weights.pop(product) / (sum(weights.values()) + np.exp(-candidates.index(product) / 10.0))
                )


def test_what_narrowed_a_drawn_list_is_logged_with_it(
    exploring_client: httpx.Client, scored_shop: Shop
) -> None:
    for number in range(20):
        for name, narrow in (
            ("narrowed", {"category": 3, "max_price": 95, "novelty": "new"}),
            ("everything", {}),
        ):
            answer = exploring_client.get(
                "/api/v1/users/1/recommendations",
                params={"limit": 5, **narrow},
                headers={"X-Request-Id": f"{name}-{number}"},
            )
            assert answer.status_code == 200, answer.text
    query = (
        "SELECT DISTINCT split_part(request_id, '-', 1), candidates IS NOT NULL, filters "
        "FROM recommendations_db.exposures ORDER BY 1, 2"
    )

    def logged() -> list[tuple[Any, ...]]:
        drain.run(threading.Event(), once=True)
        return execute(scored_shop, query)

    narrowed = {"categories": [3], "max_price": 95.0, "novelty": "new"}
    expected = [
        ("everything", False, None), ("everything", True, None),
        ("narrowed", False, None), ("narrowed", True, narrowed),
    ]  # fmt: skip
    until(lambda: len(logged()) >= len(expected), 30)
    assert logged() == expected


def test_what_an_arm_narrowed_is_logged_with_its_drawn_lists(
    scored_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the log would seem to lack products that another model displays in that arm."""
    design = ExperimentDesign.of(arms=arms_of(["fresh:0.5:novelty=new"]))
    with unit_of_work() as session:
        ab_tests.start(session, "fresh", design, salt="salt", actor="ann", reason="try")
    monkeypatch.setenv("RECSYS_EXPLORATION__SHARE", "0.5")
    get_settings.cache_clear()
    arms = set()
    with running(create_app()) as client:
        for user in list(range(1, 21)) * 2:
            provenance = ask(client, user)["provenance"]
            arms |= {provenance["arm"]} if provenance["explored"] else set()
    assert arms == {"fresh:control", "fresh:fresh"}
    query = "SELECT DISTINCT arm, filters FROM recommendations_db.exposures WHERE candidates IS NOT NULL"

    def logged() -> list[tuple[Any, ...]]:
        drain.run(threading.Event(), once=True)
        return sorted(execute(scored_shop, query))

    expected = [("fresh:control", None), ("fresh:fresh", {"novelty": "new"})]
    until(lambda: len(logged()) >= len(expected), 30)
    assert logged() == expected


def test_cart_and_page_narrow_a_list() -> None:
    request = RecommendationRequest(
        user=1,
        cart=(3,),
        products=(9,),
        on_page=frozenset({4}),
        filters=Filters(exclude=(7,), in_stock=True, attributes=(("colour", "red"),)),
    )
    assert narrowing(request) == {
        "exclude": [3, 4, 7, 9],
        "in_stock": True,
        "attributes": (("colour", "red"),),
    }
    assert narrowing(RecommendationRequest(user=1, limit=5, diversity=0.5)) is None
    # a list of a product is without it anyway
    assert narrowing(RecommendationRequest(Placement.SIMILAR, products=(9,))) is None
