"""Weights are fitted before the test weeks, and a log whose views mislead gets views that weigh nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from features.dataset import Dataset
from features.interactions import InteractionWeights
from recsys.errors import Invalid
from tests.training.shops import ITEMS, USERS, dataset_of, purchases
from training.experiment import EvaluationPlan, Experiment, SplitSettings
from training.studies.weight_fitting import FACTORS, HALF_LIVES, fit_weights

EXPERIMENT = Experiment(
    name="popular",
    algorithm="item_knn",
    split=SplitSettings(test_days=10),
    evaluation=EvaluationPlan(ks=(5,), primary_k=5, draws=100),
)


def _misleading(after: float = 0.0, view: float = 10.0) -> Dataset:
    """Purchases of one's own half of the shop, views of the other; `after` moves views into the test days."""
    rng = np.random.default_rng(3)
    rows = [(user, product, day, "purchase") for user, product, day in purchases()]
    for user in range(1, USERS + 1):
        for _ in range(30):
            product = 2 * int(rng.integers(0, ITEMS // 2)) + 1 - user % 2 + 1
            rows.append((user, product, min(59.0, float(rng.random() * 60) + after), "view"))
    start = InteractionWeights({"view": view, "purchase": 1.0}, half_life_days=90.0)
    return replace(dataset_of(rows), weights=start)


def test_misleading_views_lose_their_weight() -> None:
    fitted = fit_weights(_misleading(), EXPERIMENT, rounds=1)
    assert fitted.weights.by_type["view"] < 1.0
    assert fitted.weights.by_type["purchase"] == 1.0
    assert fitted.value > fitted.before
    assert fitted.comparison.difference == pytest.approx(fitted.value - fitted.before)
    assert fitted.comparison.low > 0
    assert fitted.tried == 1 + (len(FACTORS) - 1) + (len(HALF_LIVES) - 1)


def test_the_test_weeks_are_not_looked_at() -> None:
    dataset = _misleading()
    past = dataset.events.time <= dataset.moment - 10 * 86_400_000_000
    other = replace(dataset.events, item=np.where(past, dataset.events.item, 0).astype(np.int32))
    messages: list[list[str]] = [[], []]
    fit_weights(dataset, EXPERIMENT, rounds=1, progress=messages[0].append)
    fit_weights(replace(dataset, events=other), EXPERIMENT, rounds=1, progress=messages[1].append)
    assert messages[0] == messages[1]
    assert len(messages[0]) == 3


def test_a_log_that_is_too_short_is_refused() -> None:
    with pytest.raises(Invalid):
        fit_weights(dataset_of([(1, 1, 0.0, "purchase"), (1, 2, 1.0, "purchase")]), EXPERIMENT)


@pytest.mark.parametrize(("view", "proposed"), [(1000.0, True), (10.0, False)])
def test_the_command_prints_settings_unless_the_difference_may_be_chance(
    monkeypatch: pytest.MonkeyPatch, view: float, proposed: bool
) -> None:
    import typer

    from features.build import builder as build
    from training.studies import weight_fitting

    monkeypatch.setattr(build, "current", lambda _settings: _misleading(view=view))
    monkeypatch.setattr("training.experiment.load", lambda _name: EXPERIMENT)
    app = typer.Typer()
    app.command()(weight_fitting.weights)
    done = CliRunner().invoke(app, ["--rounds", "1"])
    assert done.exit_code == 0, done.output
    assert ('RECSYS_FEATURES__WEIGHTS=\'{"purchase": 1.0, "view": ' in done.stdout) == proposed
    assert ("RECSYS_FEATURES__HALF_LIFE_DAYS=" in done.stdout) == proposed
    assert ("No change is proposed" in done.stdout) != proposed
