"""Which live lists are shared, and by which key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, cast

import pytest

from serving.ranking.eligibility import SeenProducts
from serving.ranking.strategies import Lookups
from serving.recommender.context import RequestContext
from serving.recommender.live_lists import LiveLists
from serving.recommender.request import Filters, Placement, RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.recommender.sources import LiveRanking
from serving.state.refresher import Refresher

SIMILAR = RecommendationRequest(Placement.SIMILAR, products=(5,))
MINE = RecommendationRequest(user=7)
CONTEXT = RequestContext(Refresher().data, redis_available=True)


class Asked:
    """Takes the place of `LiveLists` and notes how it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Hashable, bool]] = []

    async def get(self, key: Hashable, rank: Callable[[], Any], **options: Any) -> RecommendationResponse:
        self.calls.append((key, options["shared"]))
        return RecommendationResponse(MINE, [], "live")


def asked(*pairs: tuple[RecommendationRequest, RequestContext]) -> list[tuple[Hashable, bool]]:
    """Key and whether it is shared, of each request."""
    lists = Asked()
    source = LiveRanking(cast("LiveLists", lists), Lookups())
    for request, context in pairs:
        asyncio.run(source.lists(request, context))
    return lists.calls


def test_equal_requests_share_a_key_until_the_snapshot_changes() -> None:
    later = replace(CONTEXT, data=replace(CONTEXT.data, version=CONTEXT.data.version + 1))
    (first, shared), (second, _), (third, _) = asked((SIMILAR, CONTEXT), (SIMILAR, CONTEXT), (SIMILAR, later))
    assert shared
    assert first == second != third


@pytest.mark.parametrize(
    "request_",
    [
        MINE,
        RecommendationRequest(session="s"),
        replace(SIMILAR, cart=(3,)),
        replace(SIMILAR, filters=Filters(attributes=(("colour", "red"),))),
    ],
)
def test_lists_that_depend_on_more_than_the_snapshot_are_not_shared(request_: RecommendationRequest) -> None:
    ((_, shared),) = asked((request_, CONTEXT))
    assert not shared


def test_a_new_interaction_makes_another_list() -> None:
    touched = replace(CONTEXT, recent=SeenProducts({5}, {5}, set()))
    (before, _), (after, _) = asked((MINE, CONTEXT), (MINE, touched))
    assert before != after


def test_personal_lists_are_never_equal_without_redis() -> None:
    away = replace(CONTEXT, redis_available=False)
    (first, _), (second, _) = asked((MINE, away), (MINE, away))
    assert first != second


def test_a_key_keeps_no_part_of_the_snapshot_in_memory() -> None:
    def parts(value: object) -> list[object]:
        return [each for one in value for each in parts(one)] if isinstance(value, tuple) else [value]

    ((key, _),) = asked((SIMILAR, CONTEXT))
    held = {type(part) for part in parts(key)}
    assert held <= {RecommendationRequest, int, type(None), frozenset}
