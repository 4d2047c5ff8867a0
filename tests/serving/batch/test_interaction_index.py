"""Seen products are the same from PostgreSQL's aggregation and from interactions in memory."""

from __future__ import annotations

import random

import pytest

from features.user_history import FIRST, LAST, user_interactions
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.types import INTERACTION_TYPES
from serving.batch import interaction_index
from serving.ranking import user_context
from serving.ranking.eligibility import SeenProducts
from serving.recommender.request import RecommendationRequest
from tests.support.database_rows import DAY, NOON, Event, Rows
from tests.support.shop import Shop

USERS = list(range(1, 21))


@pytest.fixture
def odd_events(shop: Shop) -> None:
    rows = Rows(shop.database_url)
    rows.users(*USERS)
    chance = random.Random(5)
    moments = ["-infinity", "infinity", None, *(NOON - days * DAY for days in range(6))]
    kinds = [*INTERACTION_TYPES, "dismissed", "dismissed", "odd"]
    rows.events(
        *(
            Event(
                chance.choice(USERS[:-1]),
                chance.randrange(6),
                chance.choice(kinds),
                chance.choice(moments),
                value=chance.choice([None, "NaN", -1, 0, 1]),
            )
            for _ in range(600)
        )
    )


@pytest.mark.usefixtures("odd_events")
def test_both_ways_agree_for_every_user() -> None:
    refused, times = 0, set[int]()
    with unit_of_work() as session:
        for user, interactions in zip(USERS, user_interactions(session, USERS, None), strict=True):
            visitor = interaction_index.of_user(session, user)
            assert interaction_index.of_interactions(interactions) == visitor, user
            refused += len(visitor.dismissed)
            times |= set(interactions.times.tolist())
    assert refused > 10, "some of it must have been dismissed for good"
    assert {FIRST, LAST} < times


@pytest.mark.usefixtures("odd_events")
def test_a_user_with_more_interactions_than_are_read_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = user_context.read_user_context(RecommendationRequest(user=3), None, SeenProducts())
    monkeypatch.setattr(user_context, "_MAX_INTERACTIONS", 20)
    few = user_context.read_user_context(RecommendationRequest(user=3), None, SeenProducts())
    assert few.seen == whole.seen
    assert few.history is not None
    assert whole.history is not None
    assert few.history.products.size < whole.history.products.size
