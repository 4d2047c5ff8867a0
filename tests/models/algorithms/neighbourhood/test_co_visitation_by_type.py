"""Co-visitation by type: weights by hand, gaps in time, and fold-in by the times of a history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY, History, InteractionWeights
from models.algorithms.neighbourhood.co_visitation import CoVisitation, CoVisitationParameters
from models.algorithms.neighbourhood.co_visitation_by_type import (
    CoVisitationByType,
    CoVisitationByTypeParameters,
)
from recsys.errors import Invalid
from tests.models.data import Row, dataset, two_tastes

EQUAL = {"view": 1.0, "add_to_cart": 1.0, "purchase": 1.0}
PLAIN = CoVisitationByTypeParameters(
    source=EQUAL,
    target=EQUAL,
    window=2,
    distance_decay=0.5,
    reverse=0.25,
    gap_hours=0.0,
    damping=1.0,
    source_power=0.0,
    target_power=0.0,
    history_decay=0.5,
    values="linear",
)
HOUR = 1.0 / 24.0


def shop(rows: list[Row], items: int = 4) -> Dataset:
    return dataset(rows, users=2, items=items, weights=InteractionWeights(EQUAL, half_life_days=1e9))


def test_a_pair_weighs_its_source_type_times_its_target_type() -> None:
    chosen = replace(
        PLAIN, source={"view": 2.0, "purchase": 3.0}, target={"view": 5.0, "purchase": 7.0}, reverse=1.0
    )
    rows = [(0, 0, "view", 9.0), (0, 1, "purchase", 8.0)]
    found = CoVisitationByType(chosen).fit(shop(rows)).weights_.toarray()
    assert found[0, 1] == pytest.approx(2.0 * 7.0)
    assert found[1, 0] == pytest.approx(3.0 * 5.0)


def test_a_pair_fades_with_the_time_between_its_events_down_to_the_floor() -> None:
    chosen = replace(PLAIN, gap_hours=2.0, gap_floor=0.1)
    rows = [(0, 0, "view", 2.0), (0, 1, "view", 2.0 - HOUR), (0, 2, "view", 1.0)]
    found = CoVisitationByType(chosen).fit(shop(rows)).weights_.toarray()
    assert found[0, 1] == pytest.approx(np.exp(-0.5))
    assert found[1, 2] == pytest.approx(0.1)
    assert found[0, 2] == pytest.approx(0.5 * 0.1)


def test_repeated_pairs_are_damped() -> None:
    rows = [(user, item, "view", 9.0 - item) for user in (0, 1) for item in (0, 1)]
    found = CoVisitationByType(replace(PLAIN, damping=0.5)).fit(shop(rows)).weights_.toarray()
    assert found[0, 1] == pytest.approx(np.sqrt(2.0))
    assert found[1, 0] == pytest.approx(np.sqrt(0.5))


def test_a_type_without_weight_teaches_nothing() -> None:
    chosen = replace(PLAIN, source={"view": 1.0}, target={"view": 1.0})
    rows = [(0, 0, "view", 9.0), (0, 1, "purchase", 8.0), (0, 2, "view", 7.0)]
    found = CoVisitationByType(chosen).fit(shop(rows)).weights_.toarray()
    assert set(zip(*np.nonzero(found), strict=True)) == {(0, 2), (2, 0)}


def test_doing_it_again_counts_where_repeats_do() -> None:
    rows = [(0, 0, "view", 9.0), (0, 1, "view", 9.0), (0, 0, "view", 8.0)]
    found = CoVisitationByType(replace(PLAIN, repeats=True)).fit(shop(rows)).weights_.toarray()
    np.testing.assert_allclose(np.diag(found), [1.25, 0.0, 0.0, 0.0], atol=1e-4)


@given(
    events=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.integers(0, 3),
            st.sampled_from(sorted(EQUAL)),
            st.integers(0, 6).map(float),
        ),
        min_size=1,
        max_size=20,
    ),
    repeats=st.booleans(),
)
def test_with_equal_types_and_no_gaps_it_is_plain_co_visitation(events: list[Row], repeats: bool) -> None:
    data = shop(events)
    plain = CoVisitationParameters(
        window=2,
        distance_decay=0.5,
        reverse=0.25,
        source_power=0.0,
        target_power=0.0,
        history_decay=0.5,
        repeats=repeats,
    )
    found = CoVisitationByType(replace(PLAIN, repeats=repeats)).fit(data)
    # several events of one user and product at one moment are one start there, and one each here
    if len({(user, item, age) for user, item, _, age in events}) == len(events):
        expected = CoVisitation(plain).fit(data)
        np.testing.assert_allclose(found.weights_.toarray(), expected.weights_.toarray(), atol=1e-4)
        np.testing.assert_allclose(found.history_.toarray(), expected.history_.toarray(), rtol=1e-6)
    assert found.weights_.data.min(initial=1.0) > 0


def test_fold_in_gives_what_a_known_user_gets() -> None:
    data = two_tastes()
    model = CoVisitationByType().fit(data)
    events, histories = data.events, []
    for row in range(len(data.users)):
        mine = events.take(events.user == row)
        weights = data.weights.weigh(mine.kind, mine.value, mine.time, data.moment)
        histories.append(History(data.items.ids[mine.item], weights, mine.time))
    known, folded = model.recommend(data.users.ids, 10), model.recommend_from(histories, 10)
    np.testing.assert_array_equal(known.products, folded.products)
    np.testing.assert_allclose(known.scores, folded.scores, rtol=1e-5)


def test_the_same_log_at_another_date_gives_the_same_weights() -> None:
    data = two_tastes()
    shift = 400 * MICROSECONDS_PER_DAY
    later = replace(
        data, events=replace(data.events, time=data.events.time + shift), moment=data.moment + shift
    )
    left, right = CoVisitationByType().fit(data), CoVisitationByType().fit(later)
    np.testing.assert_array_equal(left.weights_.toarray(), right.weights_.toarray())


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": {"view": -1.0}},
        {"target": {"view": 0.0}},
        {"target": {"glance": 1.0}},
        {"window": 0},
        {"distance_decay": 2.0},
        {"reverse": -0.1},
        {"gap_hours": -1.0},
        {"gap_floor": 1.5},
        {"damping": 0.0},
        {"source_power": -1.0},
        {"target_power": 3.0},
        {"history_decay": 0.0},
        {"values": "square"},
        {"neighbours": 0},
        {"repeats": 1},
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=r"parameter|interaction type"):
        CoVisitationByTypeParameters(**wrong)  # type: ignore[arg-type]
