"""Forecasts of time: they grow with the data, come from the last training, and fit a budget."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.factory import algorithms
from models.shared.parallel import WORKERS
from recsys.cli import run
from tests.support.shop import Shop
from tests.training.shops import fill_shop
from training.experiment import Experiment, everyday, load, load_all
from training.fit.budget import fit_to_budget
from training.fit.forecast import (
    RATES,
    REFERENCE,
    DataSize,
    PastCost,
    forecast_all,
    forecast_seconds,
    hybrid_members,
    recipe_key,
)
from training.report.document import Cost

ALL = load_all(everyday())


def times(factor: int) -> DataSize:
    return DataSize(**{name: factor * value for name, value in vars(REFERENCE).items()})


def total(experiments: list[Experiment], size: DataSize = REFERENCE) -> float:
    return sum(each.total for each in forecast_all(experiments, size, {}))


def past(name: str, events: int, fit: float, judge: float, refit: float) -> dict[str, PastCost]:
    experiment = load(name)
    cost = Cost(fit_seconds=fit, refit_seconds=refit, judge_seconds=judge, peak_mib=1, artifact_mib=1)
    return {recipe_key(experiment.algorithm, experiment.parameters): PastCost(f"{name}-v3", events, cost)}


def test_every_algorithm_has_a_rate() -> None:
    assert set(RATES) == set(algorithms())


@pytest.mark.parametrize("algorithm", sorted(RATES))
def test_more_data_take_longer(algorithm: str) -> None:
    experiment = Experiment(name="one", algorithm=algorithm)
    small, large = (forecast_seconds(experiment, times(n), {}) for n in (1, 3))
    assert large.fit >= 2.9 * small.fit > 0
    assert large.judge >= 8.9 * small.judge > 0


def test_judging_takes_no_longer_with_more_users_than_are_drawn() -> None:
    experiment = Experiment(name="one", algorithm="als")
    few, many, most = (
        forecast_seconds(experiment, replace(REFERENCE, users=users), {}).judge
        for users in (10_000, 100_000, 1_000_000)
    )
    assert 2 * few < many == most


def test_an_unmeasured_algorithm_is_forecast_and_the_source_says_so() -> None:
    found = forecast_seconds(Experiment(name="mine", algorithm="shelf"), REFERENCE, {})
    assert found.total > 0
    assert "shelf" in found.source


@given(st.integers(1, 10**9))
def test_the_last_training_is_scaled_by_events(events: int) -> None:
    known = past("als", 1000, 3.0, 2.0, 4.0)
    size = replace(REFERENCE, events=events)
    found = forecast_seconds(load("als").seeded(7), size, known)
    assert (found.fit, found.judge, found.refit) == pytest.approx(
        (events * 0.003, events * 0.002, events * 0.004)
    )
    assert found.source == "als-v3, 1,000 events"
    other = Experiment(name="als", algorithm="als", parameters={"factors": 8})
    assert "als-v3" not in forecast_seconds(other, size, known).source


def test_a_hybrid_takes_its_members_once_per_window_and_those_that_nothing_else_fits() -> None:
    hybrid = load("hybrid")
    members = hybrid_members(hybrid, REFERENCE)
    assert "normalised_knn" not in members
    fits = sum(forecast_seconds(one, REFERENCE, {}).fit for one in members.values()) / WORKERS
    shared = {recipe_key(one.algorithm, one.parameters) for one in members.values()}
    alone, beside = (forecast_seconds(hybrid, REFERENCE, {}, keys) for keys in ((), shared))
    assert alone.fit - beside.fit == pytest.approx(fits)
    assert beside.fit == pytest.approx(fits + RATES["hybrid"].fit / WORKERS)
    # the members' own last training is what they take in a hybrid
    slow = forecast_seconds(hybrid, REFERENCE, past("als", REFERENCE.events, 100.0, 0.0, 100.0), shared)
    assert slow.fit - beside.fit == pytest.approx((100.0 - RATES["als"].fit) / WORKERS)
    # too few users for one window: an earlier one is added
    few = replace(REFERENCE, users=1_000)
    members_of_few = [forecast_seconds(one, few, {}).fit for one in members.values()]
    one_window = forecast_seconds(hybrid, few, {}, shared).fit
    more = hybrid.model_copy(update={"parameters": {**hybrid.parameters, "enough_users": 500}})
    less = forecast_seconds(more, few, {}, shared).fit
    assert one_window - less > sum(members_of_few) / WORKERS


@given(st.floats(0.01, 400.0))
def test_what_is_kept_fits_and_nothing_is_dropped_in_silence(budget: float) -> None:
    kept, left = fit_to_budget(ALL, REFERENCE, {}, budget)
    names, gone = [each.name for each in kept], {each.name for each in left}
    assert "popularity" in names
    assert names == ["popularity"] or total(kept) <= budget
    assert {each.name for each in ALL} == set(names) | gone & {each.name for each in ALL}
    for hybrid in (each for each in kept if each.algorithm == "hybrid"):
        lost = hybrid_members(load("hybrid")).keys() - hybrid_members(hybrid).keys()
        assert {f"member {name} of hybrid" for name in lost} <= gone
        assert (hybrid.parameters.get("windows") == 1) == ("windows of hybrid before the last" in gone)


def test_with_less_time_the_hybrid_stays_longest() -> None:
    whole = total(ALL)
    assert fit_to_budget(ALL, REFERENCE, {}, whole + 1) == (ALL, [])
    kept, left = fit_to_budget(ALL, REFERENCE, {}, whole - 1)
    assert load("hybrid") in kept
    assert left
    alone = total([load("popularity"), load("hybrid")])
    kept, left = fit_to_budget(ALL, REFERENCE, {}, alone - 1)
    trimmed = next(each for each in kept if each.algorithm == "hybrid")
    assert trimmed.parameters["windows"] == 1
    assert "windows of hybrid before the last" in {each.name for each in left}
    kept, _ = fit_to_budget(ALL, REFERENCE, {}, 0.001)
    assert kept == [load("popularity")]


def test_without_popularity_the_cheapest_stays() -> None:
    kept, left = fit_to_budget([load("als"), load("ease"), load("degree_svd")], REFERENCE, {}, 0.001)
    by_cost = sorted(("als", "ease", "degree_svd"), key=lambda name: total([load(name)]))
    assert [each.name for each in kept] == by_cost[:1]
    assert {each.name for each in left} == set(by_cost[1:])


def test_a_tiny_budget_trains_popularity_alone_and_says_what_is_left_out(shop: Shop) -> None:
    fill_shop()
    sources = ("popularity", "item_knn", "als")
    result = shop.run("train", "run", *sources, "--budget", "0.0001s", "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["experiments"] == ["popularity"]
    assert [one["name"] for one in summary["forecast"]["experiments"]] == ["popularity"]
    assert {one["name"] for one in summary["left_out"]} == {"item_knn", "als"}
    assert all(one["seconds"] > 0 for one in summary["left_out"])
    assert "forecast of fitting and judging" in result.stderr
    for name in ("item_knn", "als"):
        assert f"left out: {name}, under 1 s" in result.stderr

    whole = shop.run("train", "run", *sources, "--budget", "1h")
    assert whole.returncode == 0, whole.stderr
    assert "Fitting and judging: forecast" in whole.stdout
    again = json.loads(shop.run("train", "run", "popularity", "--json").stdout)
    assert again["left_out"] == []
    (row,) = again["forecast"]["experiments"]
    assert row["source"].startswith("popularity-v2, ")  # the newest version of the same recipe


def test_a_wrong_budget_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "run", "popularity", "--budget", "soon"]) == 2
    complaint = capsys.readouterr().err
    assert complaint.strip().count("\n") == 0
    assert "--budget 'soon'" in complaint
