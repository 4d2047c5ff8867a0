"""What counts as a success: chosen from the data, or configured; kept by earlier snapshots."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.dataset import Dataset
from features.target import ORDER, Target, choose_target
from recsys.errors import Invalid
from recsys.settings import Settings
from tests.support.timelines import Row, at, timeline


def many(kind: str, count: int, people: int) -> list[Row]:
    """`count` events of that type by `people` users, one after the other."""
    return [(i % people, i % 7, kind, i / 100) for i in range(count)]


def test_purchases_are_the_target_where_there_are_enough() -> None:
    events = timeline([*many("view", 5_000, 300), *many("purchase", 100, 30)]).events
    assert choose_target(events, None) == Target(
        {"purchase": 1.0}, "Purchases are the target: 100 by 30 of 300 users."
    )


def test_else_the_strongest_type_that_is_there_often_enough() -> None:
    rows = [*many("view", 5_000, 300), *many("purchase", 99, 30), *many("like", 400, 80)]
    chosen = choose_target(timeline(rows).events, None)
    assert chosen.types == ("like",)
    assert chosen.reason == (
        "Likes are the target: 400 by 80 of 300 users; there are too few purchases (99) and too few "
        "additions to a cart (0)."
    )


def test_few_purchases_are_enough_where_half_of_the_users_made_one() -> None:
    assert choose_target(timeline([(0, 0, "purchase", 0), (1, 0, "view", 0)]).events, None).types == (
        "purchase",
    )
    rows: list[Row] = [(0, 0, "purchase", 0), (1, 0, "view", 0), (2, 0, "view", 0)]
    assert choose_target(timeline(rows).events, None).types == ("view",)


def test_a_shop_with_too_little_of_everything_aims_at_what_most_users_have() -> None:
    rows: list[Row] = [*((u, 0, "like", 0) for u in range(2)), *((u, 0, "dismissed", 0) for u in range(9))]
    chosen = choose_target(timeline(rows).events, None)
    assert chosen.types == ("like",)
    assert "most users (2) have these" in chosen.reason
    assert choose_target(timeline([(-1, 0, "dismissed", 0)]).events, None).types == ("purchase",)


def test_a_success_is_of_the_target_and_a_review_of_one_only_above_three() -> None:
    dataset = timeline(
        [
            (0, 0, "purchase", 0),
            (0, 1, "view", 1),
            (0, 2, "review", 2, 0, 3.0),
            (0, 3, "review", 3, 0, 4.0),
            (0, 4, "review", 4),
        ]
    )
    target = Target({"purchase": 2.0, "review": 1.0, "view": 0.0})
    assert target.mask(dataset.events).tolist() == [True, False, False, True, False]
    assert target.weigh(dataset.events).tolist() == [2, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"buy": 1.0}, "'buy'"),
        ({"view": math.inf}, "finite"),
        ({"view": -1.0}, "0 or more"),
        ({"view": 0.0}, "above 0"),
        ({}, "above 0"),
        ({"dismissed": 1.0}, "not a success"),
    ],
)
def test_a_wrong_target_is_refused_with_its_reason(wrong: dict[str, float], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        choose_target(timeline([(0, 0, "view", 0)]).events, wrong)


def test_a_configured_target_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().features.target is None
    monkeypatch.setenv("RECSYS_FEATURES__TARGET", '{"like": 1, "view": 0.2}')
    events = timeline(many("purchase", 1_000, 50)).events
    chosen = choose_target(events, Settings().features.target)
    assert chosen == Target(
        {"like": 1.0, "view": 0.2}, "Likes and views are the target by the shop's settings."
    )


def test_an_earlier_snapshot_keeps_the_target_and_the_disk_does() -> None:
    dataset = timeline([*many("view", 300, 60), *((u, 0, "purchase", 50.0 + u) for u in range(60))])
    assert dataset.target.types == ("purchase",)
    past = dataset.until(at(10))
    assert choose_target(past.events, None).types == ("view",)
    assert past.target == dataset.target


def test_the_target_is_saved_and_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    rows = many("purchase", 200, 50)
    chosen, aimed = timeline(rows), timeline(rows, target=Target({"view": 1.0}, "By hand."))
    assert chosen.fingerprint != aimed.fingerprint
    aimed.save(tmp_path / "there")
    assert Dataset.load(tmp_path / "there").target == aimed.target


@given(st.dictionaries(st.sampled_from(ORDER), st.floats(0, 10)))
def test_a_target_goes_to_json_and_back(by_type: dict[str, float]) -> None:
    target = Target(by_type, "Because.")
    assert Target.from_json(target.as_json()) == target


@given(st.lists(st.tuples(st.integers(-1, 9), st.integers(0, 4), st.sampled_from(ORDER), st.integers(0, 9))))
def test_the_choice_depends_on_the_events_not_on_their_order_and_has_a_reason(
    rows: list[tuple[int, int, str, float]],
) -> None:
    chosen = choose_target(timeline(rows, users=10, items=5).events, None)
    assert chosen == choose_target(timeline(rows[::-1], users=10, items=5).events, None)
    assert len(chosen.types) == 1
    assert chosen.reason.endswith(".")
    words = {row[2] for row in rows if row[0] >= 0 and row[2] != "review"}  # these reviews have no rating
    assert not words or chosen.types[0] in words
