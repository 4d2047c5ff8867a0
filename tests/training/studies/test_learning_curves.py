"""Learning curves: the same test users all along, quality that grows with data and fades with age."""

from __future__ import annotations

import pytest

from features.dataset import Dataset
from recsys.errors import Invalid
from tests.training.shops import dataset_of, purchases
from training.experiment import Experiment
from training.progress import Steps
from training.studies.learning_curves import Curve, data_curve, staleness_curve

PLAN = {
    "name": "item_knn",
    "algorithm": "item_knn",
    "parameters": {"neighbours": 20},
    "split": {"test_days": 12},
    "evaluation": {"ks": [5], "primary_k": 5, "draws": 100},
}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset_of([(u, p, day, "purchase") for u, p, day in purchases()])


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return Experiment.model_validate(PLAN)


def _check(curve: Curve) -> None:
    users = {point.views["all"].users for point in curve.points}
    assert len(users) == 1
    assert users.pop() > 0
    for point in curve.points:
        for figure in point.views.values():
            assert figure.low <= figure.value <= figure.high
            assert figure.k == 5
    assert curve.words


def test_more_data_is_learned_from(data: Dataset, experiment: Experiment) -> None:
    curve = data_curve(experiment, data, Steps(), (1.0, 0.05, 0.5))
    _check(curve)
    assert [point.x for point in curve.points] == [0.05, 0.5, 1.0]
    events = [point.events for point in curve.points]
    assert events == sorted(events)
    assert events[1] == pytest.approx(events[2] / 2, rel=0.1)
    assert curve.points[-1].views["all"].value > curve.points[0].views["all"].value


def test_an_older_model_knows_less(data: Dataset, experiment: Experiment) -> None:
    steps = Steps()
    curve = staleness_curve(experiment, data, steps, (0, 14, 400))
    _check(curve)
    assert [point.x for point in curve.points] == [0, 14]  # the data does not reach back further
    fresh, old = curve.points
    assert old.events < fresh.events
    assert fresh.events == data_curve(experiment, data, steps, (1.0,)).points[0].events


def test_senseless_points_are_refused(data: Dataset, experiment: Experiment) -> None:
    with pytest.raises(Invalid, match="between 0 and 1"):
        data_curve(experiment, data, Steps(), (0.5, 1.5))
    with pytest.raises(Invalid, match="0 or more"):
        staleness_curve(experiment, data, Steps(), (-1,))
    with pytest.raises(Invalid, match="reach back"):
        staleness_curve(experiment, data, Steps(), (500,))
