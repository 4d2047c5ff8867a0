"""Both questions in one pass are the same lists as each question by itself."""

from __future__ import annotations

import numpy as np
import pytest

from features.interactions import History
from models import factory
from models.ranking.novelty_lists import recommend_both
from models.results import Ranking
from tests.models.data import UNTOUCHED_USER, USERS, two_tastes

DATA = two_tastes()
HISTORIES = [History.of(DATA.items.ids[some]) for some in ([0, 2, 4], [1], [7, 9, 11, 13], [])]


def same(one: Ranking, other: Ranking) -> None:
    assert one.queries.tolist() == other.queries.tolist()
    assert one.products.tolist() == other.products.tolist()
    np.testing.assert_array_equal(one.scores, other.scores)


# a model that scores all items, a model that searches factors without scoring all, a model without a task
@pytest.mark.parametrize("algorithm", ["item_knn", "als", "tifu_knn", "popularity"])
@pytest.mark.parametrize("narrow", [False, True])
def test_one_pass_gives_what_two_give(algorithm: str, narrow: bool) -> None:
    model = factory.create(algorithm).fit(DATA)
    only = DATA.items.ids[:9] if narrow else None
    users = np.append(DATA.users.ids[: USERS + 1], 10**6)  # one without any event, one unknown
    assert DATA.users.ids[UNTOUCHED_USER] in users
    every, new = recommend_both(model, users, 12, 7, only=only)
    same(every, model.recommend(users, 12, only=only))
    same(new, model.recommend(users, 7, exclude="seen", only=only))

    guests = np.arange(len(HISTORIES))
    every, new = recommend_both(model, guests, 12, 7, histories=HISTORIES, only=only)
    same(every, model.recommend_from(HISTORIES, 12, only=only))
    same(new, model.recommend_from(HISTORIES, 7, exclude="seen", only=only))
