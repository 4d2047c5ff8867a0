"""Segments of users, products and guests: who is in which, and a small one says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.dataset import Dataset
from models import factory
from models.base import Recommender
from tests.training.shops import dataset_of, purchases
from training.evaluation.evaluator import evaluate
from training.evaluation.examples import choose_users
from training.evaluation.guests import judge_guests
from training.evaluation.segments import (
    FEW,
    EvaluatedPeriod,
    Segment,
    known_events,
    segments,
    segments_over,
    user_groups,
)
from training.evaluation.split_plan import SplitPlan, make_splits
from training.evaluation.splits import Split, time_split
from training.evaluation.summary import plain
from training.experiment import Experiment
from training.fit.trainer import judge
from training.progress import Steps


def _described(data: Dataset) -> Dataset:
    """Two departments by the parity of the product, prices from its number."""
    n = len(data.items)
    features = replace(
        data.item_features,
        category=(data.items.ids % 2).astype(np.int32),
        category_paths=["Shop > Even", "Shop > Odd"],
        price=data.items.ids.astype(np.float32),
        stock=np.ones(n, np.float32),
    )
    return replace(
        data,
        item_features=features,
        preferences=replace(
            data.preferences,
            categories=type(data.preferences.categories)((len(data.users), 2), dtype=np.float32),
        ),
    )


@pytest.fixture(scope="module")
def split() -> Split:
    rows = [(u, p, day, "purchase") for u, p, day in purchases()]
    few = [row for row in rows if row[0] > 3 or row[2] > 45][:]
    newcomers = [(u, 1 + u, 47.0, "purchase") for u in (1, 2, 3)]
    return time_split(_described(dataset_of(few + newcomers)), 12)


def _found(split: Split, algorithm: str = "popularity") -> list[Segment]:
    evaluation = evaluate(factory.create(algorithm).fit(split.train), split, (10,))
    return segments(evaluation.views["all"], split, split.folds["all"], k=10, draws=200, seed=0)


def test_users_fall_into_one_group_each(split: Split) -> None:
    fold = split.folds["all"]
    groups = user_groups(fold, split)
    members = np.stack([member for _, member in groups])
    assert (members.sum(axis=0) == 1).all()
    events = np.bincount(split.train.events.user, minlength=len(split.train.users))
    events = events[split.train.users.index(fold.users)]
    new, light, heavy = members
    assert (events[new] <= 5).all()
    assert events[light].max() < events[heavy].min()


def test_a_small_segment_says_so(split: Split) -> None:
    found = {segment.name: segment for segment in _found(split) if segment.kind == "users"}
    new = next(segment for name, segment in found.items() if name.startswith("new"))
    assert 0 < new.users < FEW
    assert new.small
    assert "too few" in new.note
    light = next(segment for name, segment in found.items() if name.startswith("light"))
    assert light.users >= FEW
    assert not light.small
    assert light.note == ""


def test_a_category_counts_only_its_own_right_answers(split: Split) -> None:
    fold = split.folds["all"]
    model = factory.create("popularity").fit(split.train)
    evaluation = evaluate(model, split, (10,))
    found = {one.name: one for one in _found(split)}
    odd = found["Shop > Odd"]
    recalls = []
    for i in range(fold.users.size):
        right = split.train.items.ids[fold.relevant[[i]].indices]
        right = right[right % 2 == 1]
        if right.size:
            shown = evaluation.views["all"].products[i]
            recalls.append(np.isin(right, shown).sum() / right.size)
    assert odd.users == len(recalls)
    assert odd.figures["recall"].value == pytest.approx(np.mean(recalls))


def _periods() -> list[tuple[EvaluatedPeriod, Recommender]]:
    """Two periods of 12 days, and a model fitted before each."""
    rows = [(u, p, day, "purchase") for u, p, day in purchases()]
    # user 1 is always new, 2 is new in the first period alone, 3 comes with the second, 60 leaves before it
    few = [row for row in rows if row[0] > 3 and not (row[0] == 60 and row[2] > 48)]
    few += [(1, 1, day, "purchase") for day in (20.0, 45.0, 55.0)]
    few += [(2, product, 20.0 + product, "purchase") for product in (1, 2, 23, 24, 25, 26, 27, 36)]
    few += [(3, product, 41.0 + product, "purchase") for product in (1, 2, 3, 15)]
    splits = make_splits("rolling", _described(dataset_of(few)), SplitPlan(test_days=10, folds=2))
    found = []
    for split in splits:
        model = factory.create("popularity").fit(split.train)
        found.append(
            (EvaluatedPeriod(evaluate(model, split, (10,)).views["all"], split, split.folds["all"]), model)
        )
    return found


def test_one_period_twice_says_what_it_says_once() -> None:
    (period, _), _ = _periods()
    alone = segments_over([period], k=10, draws=200, seed=0)
    assert plain(segments_over([period, period], k=10, draws=200, seed=0)) == plain(alone)
    once = segments(period.result, period.split, period.fold, k=10, draws=200, seed=0)
    assert plain(once) == plain(alone)
    assert segments_over([], k=10, draws=200, seed=0) == []


def test_segments_of_several_periods_count_each_user_once_with_their_mean() -> None:
    periods = [period for period, _ in _periods()]
    found = {(one.kind, one.name): one for one in segments_over(periods, k=10, draws=200, seed=0)}
    # by hand, from the figures that each period's users have
    of_user: dict[str, dict[int, list[float]]] = {"new": {}, "light": {}, "heavy": {}}
    known = [known_events(one.fold, one.split) for one in periods]
    bound = np.quantile([n for each in known for n in each if n > 5], 0.75)
    for one, events in zip(periods, known, strict=True):
        for user, n, value in zip(
            one.fold.users.tolist(), events, one.result.values["ndcg"][:, 0], strict=True
        ):
            group = "new" if n <= 5 else "heavy" if n > bound else "light"
            of_user[group].setdefault(user, []).append(float(value))
    for group, values in of_user.items():
        (segment,) = [
            one for (kind, name), one in found.items() if kind == "users" and name.startswith(group)
        ]
        assert segment.users == len(values)
        if values:
            mean = np.mean([np.mean(each) for each in values.values()])
            assert segment.figures["ndcg"].value == pytest.approx(mean)
    assert len(of_user["new"]) > 0
    assert max(len(each) for each in of_user["light"].values()) == 2, "somebody is in both periods"
    everybody = {user for one in periods for user in one.fold.users.tolist()}
    last = periods[-1].fold.users.size
    assert sum(one.users for (kind, _), one in found.items() if kind == "users") >= len(everybody) > last
    assert [name for kind, name in found if kind == "items"] == [
        "head products",
        "middle products",
        "tail products",
    ]
    assert len([name for kind, name in found if kind == "price"]) == 4


def test_head_middle_tail_and_prices_are_there(split: Split) -> None:
    kinds: dict[str, list[str]] = {}
    for segment in _found(split):
        kinds.setdefault(segment.kind, []).append(segment.name)
    assert kinds["items"] == ["head products", "middle products", "tail products"]
    assert len(kinds["price"]) == 4
    assert kinds["price"][-1].endswith("and more")
    assert kinds["category"] == ["Shop > Odd", "Shop > Even"] or set(kinds["category"]) == {
        "Shop > Even",
        "Shop > Odd",
    }
    facts = split.facts
    touched = np.asarray((split.train.touched > 0).sum(axis=0)).ravel()
    assert touched[facts.group == 0].min() >= touched[facts.group == 1].max()
    shares = [touched[facts.group == group].sum() / touched.sum() for group in range(3)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.08)


def _with_guests(sessions: int) -> Split:
    rows = [(u, p, day, "purchase") for u, p, day in purchases()]
    guests = [
        (-1, product, 50.0 + session / 100 + place / 10_000, "purchase")
        for session in range(sessions)
        for place, product in enumerate((3, 5, 7, 9))
    ]
    data = dataset_of(rows + guests)
    session = np.where(
        data.events.user < 0, 1 + ((data.events.time - data.events.time.min()) // 864_000_000), 0
    )
    return time_split(replace(data, events=replace(data.events, session=session)), 12)


def test_guests_are_judged_by_their_sessions() -> None:
    split = _with_guests(40)
    model = factory.create("item_knn", {"neighbours": 20}).fit(split.train)
    guests = judge_guests(model, split, k=10, draws=200, seed=0)
    assert guests.kind == "guests"
    assert guests.users == 40
    assert not guests.small
    answer = model.recommend_from(_first_halves(), 10, exclude="seen").products[0]
    assert guests.figures["recall"].value == pytest.approx(np.isin([7, 9], answer).mean())


def _first_halves() -> list:
    from features.interactions import History

    return [History.of([3, 5])]


def test_a_training_judges_guests_for_its_report() -> None:
    split = _with_guests(40)
    experiment = Experiment.model_validate({"name": "popularity", "algorithm": "popularity"})
    judged = judge(experiment, split, choose_users(split), Steps())
    assert judged.guests is not None
    assert judged.guests.users == 40
    assert judge(experiment, split, [], Steps()).guests is None  # nobody reads a report of it
    alone = replace(split, guests=None)
    assert judge(experiment, alone, choose_users(split), Steps()).guests is None


def test_without_guests_that_is_reported(split: Split) -> None:
    model = factory.create("popularity").fit(split.train)
    guests = judge_guests(model, split, k=10, draws=100, seed=0)
    assert guests.users == 0
    assert guests.small
    assert guests.note.startswith("no guest session")
    few = judge_guests(
        factory.create("popularity").fit(_with_guests(2).train), _with_guests(2), k=5, draws=100, seed=0
    )
    assert few.note.startswith("2 guest sessions: too few")
