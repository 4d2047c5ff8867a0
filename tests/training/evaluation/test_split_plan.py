"""Rolling, last-n, cold users, cold items: what each asks, what it counts, and that no future leaks in."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from models import factory
from recsys.errors import Invalid
from tests.training.shops import dataset_of, purchases
from training.evaluation.evaluator import evaluate
from training.evaluation.leaks import assert_history_first
from training.evaluation.split_plan import SplitPlan, make_splits
from training.evaluation.splits import KINDS, Fold, Kind

PLAN = SplitPlan(test_days=15, folds=3, last=4, share=0.3, given=3)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset_of([(u, p, day, "purchase") for u, p, day in purchases()])


def _times(data: Dataset, user: int) -> np.ndarray:
    return data.events.time[data.events.user == data.users.index([user])[0]]


@pytest.mark.parametrize("kind", KINDS)
def test_every_split_counts_all_and_keeps_the_future_out(data: Dataset, kind: Kind) -> None:
    splits = make_splits(kind, data, PLAN)
    assert len(splits) == (3 if kind == "rolling" else 1)
    for split in splits:
        assert split.kind == kind
        assert split.note
        assert split.events["kept"] > 0
        assert sum(n for word, n in split.events.items() if word != "total") == split.events["total"]
        inside = (data.events.time > split.cutoff) & (data.events.time <= split.until)
        assert split.events["total"] == inside.sum()
        words = [word for word in split.users if word not in ("total", "kept_in_view_new")]
        assert sum(split.users[word] for word in words) == split.users["total"]
        assert split.users["kept"] == split.folds["all"].users.size
        assert (split.train.events.time <= split.cutoff).all()
        for fold in split.folds.values():
            assert (fold.asked_at > split.cutoff).all()
        model = factory.create("item_knn", {"neighbours": 20}).fit(split.train)
        evaluation = evaluate(model, split, (5,))
        assert evaluation.views["all"].values["ndcg"].shape == (split.folds["all"].users.size, 1)


def test_rolling_periods_follow_one_another(data: Dataset) -> None:
    splits = make_splits("rolling", data, PLAN)
    assert splits[-1].until == data.moment
    for earlier, later in pairwise(splits):
        assert earlier.until == later.cutoff
        assert len(earlier.train.events) < len(later.train.events)
    with pytest.raises(Invalid, match="rolling fold 1 of 9"):
        make_splits("rolling", data, replace(PLAN, folds=9))


def test_last_n_asks_for_the_end_and_gives_everything_before(data: Dataset) -> None:
    (split,) = make_splits("last-n", data, PLAN)
    fold = split.folds["all"]
    assert fold.histories is not None
    for i, user in enumerate(fold.users.tolist()):
        times = _times(data, user)
        late = times[times > split.cutoff]
        assert fold.asked_at[i] == late[-PLAN.last :][0]
        assert fold.histories[i].times.tolist() == times[times < fold.asked_at[i]].tolist()
        assert fold.sizes[i] <= PLAN.last


def test_cold_users_are_unknown_and_come_with_a_few_events(data: Dataset) -> None:
    (split,) = make_splits("cold-users", data, PLAN)
    fold = split.folds["all"]
    assert fold.histories is not None
    assert not np.isin(fold.users, split.train.users.ids).any()
    assert 0 < fold.users.size < len(data.users) / 2
    for i, user in enumerate(fold.users.tolist()):
        late = _times(data, user)
        late = late[late > split.cutoff]
        assert fold.histories[i].times.tolist() == late[: PLAN.given].tolist()
        assert fold.asked_at[i] == late[PLAN.given]
    result = evaluate(factory.create("item_knn", {"neighbours": 20}).fit(split.train), split, (5,))
    new = result.views["new"]
    for history, products in zip(split.folds["new"].histories or (), new.products, strict=True):
        assert not np.isin(products[products >= 0], history.products).any()


def test_cold_items_have_no_event_but_can_be_asked_for(data: Dataset) -> None:
    (split,) = make_splits("cold-items", data, PLAN)
    touched = np.unique(split.train.events.item)
    asked = np.unique(split.folds["all"].relevant.indices)
    assert asked.size
    assert not np.isin(asked, touched).any()
    assert len(split.train.items) == len(data.items)
    # what co-purchases teach says nothing of a product that nobody bought
    blind = evaluate(factory.create("item_knn", {"neighbours": 20}).fit(split.train), split, (5,))
    assert not blind.views["all"].hits.any()


def test_seeds_choose_who_is_hidden(data: Dataset) -> None:
    one, same, other = (
        make_splits("cold-users", data, replace(PLAN, seed=seed))[0].train.users for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_a_planted_leak_is_caught(data: Dataset) -> None:
    (split,) = make_splits("last-n", data, PLAN)
    fold = split.folds["all"]
    assert fold.histories is not None
    first = fold.histories[0]
    late = replace(first, times=np.append(first.times[:-1], fold.asked_at[0]))
    leaking = replace(fold, histories=(late, *fold.histories[1:]))
    with pytest.raises(Invalid, match="the histories of 1 users leak the future"):
        assert_history_first(leaking.asked_at, leaking.histories, split.cutoff)
    with pytest.raises(Invalid, match="leak"):
        replace(split, folds={"all": leaking, "new": split.folds["new"]})
    with pytest.raises(Invalid, match="leaks the future"):
        replace(split, train=data)
    early: Fold = replace(fold, asked_at=np.full(fold.users.size, split.cutoff))
    with pytest.raises(Invalid, match="before the cutoff"):
        assert_history_first(early.asked_at, early.histories, split.cutoff)


def test_a_model_that_has_seen_the_test_is_refused(data: Dataset) -> None:
    seen = factory.create("item_knn", {"neighbours": 20}).fit(data)
    (split,) = make_splits("time", data, PLAN)
    with pytest.raises(Invalid, match="it has seen the answers"):
        evaluate(seen, split, (5,))
    # a model of an earlier moment is honest on a later test …
    earlier = data.until(split.cutoff - 5 * MICROSECONDS_PER_DAY)
    older = factory.create("popularity").fit(earlier)
    assert evaluate(older, split, (5,)).views["all"].users.size
    # … but knows those whom another split calls cold
    (cold,) = make_splits("cold-users", data, PLAN)
    with pytest.raises(Invalid, match="meant to be cold"):
        evaluate(older, cold, (5,))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"folds": 0}, "folds"),
        ({"last": 0}, "last"),
        ({"share": 1.0}, "share"),
        ({"test_days": 0}, "test_days"),
    ],
)
def test_wrong_plans_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        replace(PLAN, **wrong)  # type: ignore[arg-type]


def test_a_period_without_anything_to_judge_is_refused(data: Dataset) -> None:
    with pytest.raises(Invalid, match="no event lies"):
        make_splits("last-n", data, replace(PLAN, test_days=500))
    with pytest.raises(Invalid, match="can be judged"):
        make_splits("cold-users", data, replace(PLAN, given=500))
