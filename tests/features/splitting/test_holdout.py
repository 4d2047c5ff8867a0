"""What is held out, by hand: the whole window, the next success, what is new, and what can't be shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.dataset import Dataset
from features.splitting.holdout import HeldOut, Protocol, Question, choose_protocol, held_out
from features.splitting.windows import Window
from features.target import Target
from tests.support.timelines import Row, at, timeline

BUY = Target({"purchase": 1.0}, "By hand.")
WINDOW = Window(at(10), at(20))
HOUR = 1 / 24


def ask(dataset: Dataset, protocol: Protocol, question: Question) -> HeldOut:
    return held_out(dataset.until(WINDOW.start), dataset, WINDOW, protocol, question)


def right(found: HeldOut, dataset: Dataset) -> dict[int, set[int]]:
    """User row → item rows that are relevant."""
    items = dataset.until(WINDOW.start).items.ids - 500
    return {
        int(user) - 100: set(items[found.relevant[place].indices].tolist())
        for place, user in enumerate(found.users)
    }


SHOP: list[Row] = [
    (0, 0, "purchase", 1),
    (0, 1, "view", 2),
    (1, 2, "view", 3),
    (1, 3, "view", 3),
    (0, 0, "purchase", 12),  # bought before: no answer to "new"
    (0, 1, "view", 13),
    (0, 2, "view", 14),  # a view of what is bought next: gives the answer to "new" away
    (0, 2, "purchase", 15),
    (0, 3, "purchase", 20),  # the end belongs to the window
    (0, 1, "purchase", 20.5),
    (1, 3, "view", 15),  # no success
    (2, 2, "view", 16),  # a user whom training does not know
    (2, 1, "purchase", 17),
    (3, 3, "purchase", 18),  # unknown, and comes with nothing
    (-1, 3, "purchase", 18),
]


def test_the_window_asks_known_users_for_all_their_successes() -> None:
    dataset = timeline(SHOP, target=BUY)
    found = ask(dataset, "window", "any")
    assert right(found, dataset) == {0: {0, 2, 3}}
    assert found.histories is None
    assert found.asked_at.tolist() == [at(12)]
    fresh = ask(dataset, "window", "new")
    assert right(fresh, dataset) == {0: {2, 3}}
    assert fresh.asked_at.tolist() == [at(15)]


def test_the_next_success_is_asked_of_everybody_who_comes_with_something() -> None:
    dataset = timeline(SHOP, target=BUY)
    found = ask(dataset, "next", "any")
    assert right(found, dataset) == {0: {0}, 2: {1}}
    assert found.histories is not None
    assert [history.products.tolist() for history in found.histories] == [[500, 501], [502]]
    assert found.asked_at.tolist() == [at(12), at(17)]
    # user 0 asks for what was bought before first, so nothing new is left of it
    assert right(ask(dataset, "next", "new"), dataset) == {2: {1}}


def test_what_follows_in_the_same_session_within_an_hour_is_right_too() -> None:
    rows: list[Row] = [
        *((9, item, "view", 1.0) for item in range(7)),
        (0, 6, "view", 5),
        (0, 0, "purchase", 12, 7),
        (0, 1, "purchase", 12, 8),
        (0, 2, "purchase", 12 + HOUR, 7),
        (0, 3, "purchase", 12 + HOUR / 2, 8),
        (0, 4, "purchase", 12 + HOUR / 2, 9),  # another session
        (0, 5, "purchase", 12 + 1.1 * HOUR, 7),  # too late
        (1, 6, "view", 5),
        (1, 0, "purchase", 12),  # no session: only what happens at the same time
        (1, 1, "purchase", 12),
        (1, 2, "purchase", 12 + HOUR / 60),
    ]
    dataset = timeline(rows, target=BUY)
    assert right(ask(dataset, "next", "any"), dataset) == {0: {0, 1, 2, 3}, 1: {0, 1}}


def test_a_user_is_asked_again_for_each_later_success_up_to_a_number() -> None:
    rows: list[Row] = [
        *((9, item, "view", 1.0) for item in range(4)),
        (0, 3, "view", 5),
        (0, 0, "purchase", 12),
        (0, 1, "view", 13),
        (0, 1, "purchase", 14),
        (0, 0, "purchase", 15),  # again: right for "any", no longer new
        (0, 2, "purchase", 16),
    ]
    dataset = timeline(rows, target=BUY)
    train = dataset.until(WINDOW.start)
    items = train.items.ids - 500
    found = held_out(train, dataset, WINDOW, "next", "any", 3)
    assert found.users.tolist() == [100, 100, 100], "the fourth success is one too many"
    assert [items[row.indices].tolist() for row in found.relevant] == [[0], [1], [0]]
    assert found.asked_at.tolist() == [at(12), at(14), at(15)]
    assert found.histories is not None
    assert [each.products.tolist() for each in found.histories] == [
        [503],
        [503, 500, 501],
        [503, 500, 501, 501],
    ]
    fresh = held_out(train, dataset, WINDOW, "next", "new", 4)
    assert [items[row.indices].tolist() for row in fresh.relevant] == [[0], [1], [2]]
    assert fresh.histories is not None
    assert fresh.histories[1].products.tolist() == [503, 500], "the view that led to it is hidden"


def test_weights_fade_as_of_training_and_later_events_are_of_age_zero() -> None:
    rows: list[Row] = [(0, 0, "view", 0), (0, 1, "view", 9), (0, 1, "like", 11), (0, 1, "purchase", 12)]
    dataset = timeline(rows, target=BUY)
    train = dataset.until(WINDOW.start)
    found = held_out(train, dataset, WINDOW, "next", "any")
    assert found.histories is not None
    (history,) = found.histories
    ages = (train.moment - np.array([at(0), at(9)])) / (at(1) - at(0))
    np.testing.assert_allclose(history.weights, [*(0.5 ** (ages / 90)), 2.0], rtol=1e-6)
    assert history.times.tolist() == [at(0), at(9), at(11)]


def test_the_question_for_new_products_hides_their_own_views_and_carts() -> None:
    rows: list[Row] = [
        (5, 1, "view", 1),
        (0, 0, "view", 2),
        (0, 1, "view", 11),
        (0, 1, "add_to_cart", 12),
        (0, 2, "view", 12),
        (0, 1, "purchase", 13),
        (1, 1, "view", 12),  # came for this product only: nothing is left of the history
        (1, 1, "purchase", 13),
        (2, 1, "view", 9),  # touched before the window: not new
        (2, 1, "purchase", 13),
    ]
    dataset = timeline(rows, target=BUY)
    found = ask(dataset, "next", "new")
    assert right(found, dataset) == {0: {1}}
    assert found.histories is not None
    assert [history.products.tolist() for history in found.histories] == [[500, 502]]
    assert set(right(ask(dataset, "next", "any"), dataset)) == {0, 1, 2}


def test_the_question_for_all_products_hides_what_the_visit_of_a_success_did_with_it() -> None:
    rows: list[Row] = [
        (0, 0, "view", 2),
        (0, 1, "view", 11),  # in an earlier visit: a reason to list it
        (0, 2, "view", 13),
        (0, 1, "view", 13),
        (0, 1, "purchase", 13),
        (1, 1, "view", 13),  # came for this product only: nothing is left of the history
        (1, 1, "purchase", 13),
    ]
    in_turn: list[Row] = [(*row[:3], row[3] + place / 10_000) for place, row in enumerate(rows)]
    dataset = timeline(in_turn, target=BUY)
    found = ask(dataset, "next", "any")
    assert right(found, dataset) == {0: {1}}
    assert found.histories is not None
    assert [history.products.tolist() for history in found.histories] == [[500, 501, 502]]


@pytest.mark.parametrize("session", [0, 7])
def test_a_visit_is_known_by_time_where_the_success_has_no_session(session: int) -> None:
    rows: list[Row] = [
        (0, 0, "view", 2, 3),
        (0, 1, "view", 11, 5),  # an earlier visit
        (0, 2, "view", 13.0, 7),
        (0, 1, "view", 13.001, 7),
        (0, 1, "purchase", 13.002, session),
    ]
    found = ask(timeline(rows, target=BUY), "next", "any")
    assert found.histories is not None
    assert [history.products.tolist() for history in found.histories] == [[500, 501, 502]]


@pytest.mark.parametrize("protocol", ["window", "next"])
@pytest.mark.parametrize("question", ["any", "new"])
def test_what_cannot_be_shown_is_never_right(protocol: Protocol, question: Question) -> None:
    dataset = timeline(SHOP, target=BUY, hidden=[1, 2])
    for products in right(ask(dataset, protocol, question), dataset).values():
        assert not products & {1, 2}
    assert right(ask(timeline(SHOP, target=BUY, hidden=range(4)), protocol, question), dataset) == {}


def test_the_protocol_is_next_where_more_leads_in_than_succeeds() -> None:
    assert choose_protocol(timeline(SHOP, target=BUY)) == (
        "window",
        "Each user is asked for all successes of a window, known up to its start: "
        "7 events lead to 8 successes.",
    )
    more: list[Row] = [*SHOP, (1, 0, "view", 19), (1, 0, "add_to_cart", 19)]
    assert choose_protocol(timeline(more, target=BUY))[0] == "next"
    # a dismissal and a bad review lead to nothing
    idle: list[Row] = [*SHOP, (1, 0, "dismissed", 19), (1, 0, "review", 19, 0, 2.0)]
    assert choose_protocol(timeline(idle, target=BUY))[0] == "window"


ROWS = st.lists(
    st.tuples(
        st.integers(-1, 5),
        st.integers(0, 5),
        st.sampled_from(["purchase", "view", "add_to_cart", "dismissed"]),
        st.sampled_from([*range(8, 15), 12 + HOUR / 2, 12 + HOUR]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=60,
)


@given(ROWS, st.sampled_from(["window", "next"]), st.sampled_from(["any", "new"]), st.sets(st.integers(0, 5)))
def test_every_answer_is_a_later_success_that_can_be_shown_and_no_history_knows_it(
    rows: list[Row], protocol: Protocol, question: Question, hidden: set[int]
) -> None:
    dataset = timeline(rows, users=6, items=6, target=BUY, hidden=sorted(hidden))
    found = ask(dataset, protocol, question)
    bought = {(row[0], row[1]) for row in rows if row[2] == "purchase" and 10 < row[3] <= 20}
    before = {(row[0], row[1]) for row in rows if row[3] <= 10}
    answers = right(found, dataset)
    assert len(answers) == found.users.size == found.asked_at.size
    for place, (user, products) in enumerate(answers.items()):
        assert products
        for product in products:
            assert (user, product) in bought
            assert product not in hidden
            if question == "new":
                assert (user, product) not in before
        assert WINDOW.start < found.asked_at[place] <= WINDOW.end
        if found.histories is not None:
            history = found.histories[place]
            assert history.products.size
            assert history.times.max() < found.asked_at[place]
            assert (np.diff(history.times) >= 0).all()
            if question == "new":
                assert not {int(product) - 500 for product in history.products} & products


@given(ROWS)
def test_the_window_of_one_protocol_holds_the_other_for_users_that_training_knows(rows: list[Row]) -> None:
    dataset = timeline(rows, users=6, items=6, target=BUY)
    whole, first = (right(ask(dataset, protocol, "any"), dataset) for protocol in ("window", "next"))
    for user in set(whole) & set(first):
        assert first[user] <= whole[user]
    assert set(whole) <= set(first)
