"""Ranked lists of a small shop for tests of exploration."""

from __future__ import annotations

from collections.abc import Collection

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.rules.types import Rule
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from recsys.settings.exploration import ExplorationSettings
from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules
from serving.merchandising.rerank import rerank
from serving.ranking.eligibility import SeenProducts
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.state.serving_data import ServingData
from tests.serving.rule_shop import NOW

ALWAYS = ExplorationSettings(share=0.5, temperature=2.0, depth=12)
NOTHING = SeenProducts()


def ranked(
    shop: Catalogue, rules: list[Rule], request: RecommendationRequest, without: Collection[int] = ()
) -> tuple[RecommendationResponse, ServingData]:
    """The first page of all products that are on sale, by their ids, after the rules."""
    eligible = shop.shown & ~shop.mark(set(without) & set(shop.ids.tolist()))
    products = shop.ids[eligible].tolist()
    entries = [
        Entry(product, SCORE_UNIT - product, Kind.POPULAR, ReasonCode.POPULAR, -1, True)
        for product in products
    ]
    compiled = CompiledRules.compile(shop, rules, NOW)
    listed = rerank(compiled, request, entries, eligible).entries
    response = RecommendationResponse(
        request, listed[: request.limit], "live", "m", rest=listed[request.limit :]
    )
    return response, ServingData(shop, compiled)


def products(response: RecommendationResponse) -> list[int]:
    """The whole list."""
    return [entry.product for entry in [*response.entries, *response.rest]]
