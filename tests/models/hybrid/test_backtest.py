"""Rules are learned from the newest window, and from earlier ones while users are missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from features.splitting.windows import Window, holdout_windows
from models.algorithms.linear.ease import EASE
from models.algorithms.popularity.popularity import Popularity
from models.base import Recommender
from models.hybrid import backtest as module
from models.hybrid import training_windows
from models.hybrid.backtest import BacktestPlan, backtest
from models.shared.fitted_members import FittedMembers
from recsys.errors import Invalid
from tests.models.data import two_tastes
from tests.models.shops import groceries

CREATORS: dict[str, Callable[[], Recommender]] = {"ease": EASE, "popularity": Popularity}
DATA = groceries(users=150)


def plan(users: int, enough_users: int | None = None) -> BacktestPlan:
    return BacktestPlan(
        days=None,
        windows=2,
        candidates=20,
        pool=1_000,
        users=users,
        enough_users=enough_users or users,
        k=20,
        trees=0,
        seed=1,
    )


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Window, int]]:
    """Each window that was looked at, and how many users were still wanted."""
    seen: list[tuple[Window, int]] = []
    usual = module.observe

    def observe(*arguments: Any, users: int, **others: Any) -> Any:
        seen.append((arguments[3], users))
        return usual(*arguments, users=users, **others)

    monkeypatch.setattr(module, "observe", observe)
    return seen


def test_enough_users_in_the_newest_window_leave_earlier_ones_alone(
    observed: list[tuple[Window, int]],
) -> None:
    found = backtest(CREATORS, DATA, plan(60))
    assert [users for _, users in observed] == [60]
    assert observed[0][0] == holdout_windows(DATA, 2)[-1]
    assert set(found.choices) == {"any", "new"}


def test_more_users_than_enough_are_taken_from_the_newest_window_alone(
    observed: list[tuple[Window, int]],
) -> None:
    backtest(CREATORS, DATA, plan(10_000, enough_users=60))
    assert [users for _, users in observed] == [10_000]


def test_an_earlier_window_brings_the_missing_users(observed: list[tuple[Window, int]]) -> None:
    backtest(CREATORS, DATA, plan(10_000))
    (newest, first), (earlier, second) = observed
    assert earlier.end == newest.start
    assert (first, second < first) == (10_000, True)


def test_a_window_before_which_a_member_cannot_be_fitted_is_not_used(
    observed: list[tuple[Window, int]],
) -> None:
    _, newest = holdout_windows(DATA, 2)

    class Late(Popularity):
        def _fit(self, dataset: Any) -> None:
            if dataset.moment < newest.start:
                raise Invalid("too little data")
            super()._fit(dataset)

    found = backtest(CREATORS | {"late": Late}, DATA, plan(10_000))
    assert len(observed) == 1
    assert set(found.choices["any"].figures) >= {"late", "ease", "popularity"}


def test_members_that_would_not_fit_into_memory_side_by_side_are_fitted_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("side by side")

    monkeypatch.setattr(training_windows, "in_parallel", refuse)
    monkeypatch.setattr(training_windows, "free_bytes", lambda: 0)
    panel, refused = training_windows.fitted(CREATORS, DATA, None)
    assert (list(panel.members), refused) == (list(CREATORS), {})


def test_a_recipe_is_fitted_once_on_the_dataset_and_not_kept_for_others() -> None:
    known = FittedMembers(DATA)
    first = known.fit(Popularity(), DATA)
    assert known.fit(Popularity(), DATA) is first
    other = two_tastes()
    assert known.fit(Popularity(), other) is not known.fit(Popularity(), other)
    assert known.fit(EASE(), DATA) is not first


def test_a_successor_is_unfitted_and_of_the_same_recipe() -> None:
    model = EASE().fit(DATA)
    heir = model.successor()
    assert heir is not model
    assert heir.parameters == model.parameters
    assert not hasattr(heir, "weights_")
