"""Learning curves: what more data brings, and how fast a model goes stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from recsys.errors import Invalid
from training.evaluation.evaluator import evaluate
from training.evaluation.splits import VIEWS, Split, View
from training.evaluation.summary import MeanEstimate, figures_from
from training.experiment import Experiment
from training.fit.test_period import planned_split
from training.fit.trainer import create
from training.progress import Steps

__all__ = ["AGES", "SHARES", "Curve", "CurvePoint", "data_curve", "staleness_curve"]

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
AGES = (0.0, 7.0, 14.0, 28.0, 56.0)


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve.

    Attributes
    ----------
    x
        Share of the events, or days between the training and the test.
    events
        Interactions that the model learned from.
    seconds
        To fit and to judge.
    views
        The metric in each view.
    """

    x: float
    events: int
    seconds: float
    views: dict[View, MeanEstimate]


@dataclass(frozen=True)
class Curve:
    """One metric at one k along x, always on the same test users."""

    kind: Literal["data", "staleness"]
    metric: str
    k: int
    points: list[CurvePoint]
    words: str


def data_curve(
    experiment: Experiment, dataset: Dataset, steps: Steps, shares: Sequence[float] = SHARES
) -> Curve:
    """Fit on growing samples of the training events (each holds the smaller ones), test on the same users.

    A test user of whom a sample holds nothing gets an empty list, which counts as a miss. In the view `new` a
    model hides only what its own sample says was touched, so a small sample also shows what is not new.
    """
    if wrong := [share for share in shares if not 0 < share <= 1]:
        raise Invalid(f"shares of the data lie between 0 and 1, not {wrong}")
    split = _split(experiment, dataset)
    luck = np.random.default_rng([experiment.seed, 21]).random(len(split.train.events))
    points = []
    for share in sorted(set(shares)):
        train = split.train
        if share < 1:
            some = replace(train, events=train.events.take(luck < share))
            train = some.until(train.moment)
        points.append(_point(experiment, split, train, share, f"{share:.0%} of the data", steps))
    return Curve("data", *_what(experiment), points, _words_of_data(points))


def staleness_curve(
    experiment: Experiment, dataset: Dataset, steps: Steps, ages: Sequence[float] = AGES
) -> Curve:
    """Fit on what was known so many days before the test begins; nothing is learned in between.

    What a test user did in those days is unknown to the model, too: a service that folds new events in goes
    stale more slowly than this.
    """
    if wrong := [age for age in ages if age < 0]:
        raise Invalid(f"days since training are 0 or more, not {wrong}")
    split = _split(experiment, dataset)
    first = int(split.train.events.time[0])
    points = []
    for age in sorted(set(ages)):
        moment = split.cutoff - round(age * MICROSECONDS_PER_DAY)
        if moment <= first:
            steps.say(f"the data does not reach {age:g} days back from the test: left out")
            continue
        train = split.train if age == 0 else split.train.until(moment)
        points.append(_point(experiment, split, train, age, f"{age:g} days before the test", steps))
    if not points:
        raise Invalid("the data does not reach back as far as any of the days asked for; ask for fewer")
    return Curve("staleness", *_what(experiment), points, _words_of_age(points))


def _split(experiment: Experiment, dataset: Dataset) -> Split:
    plan = experiment.split
    return planned_split(dataset, plan)


def _what(experiment: Experiment) -> tuple[str, int]:
    return experiment.promotion.metric, experiment.evaluation.primary_k


def _point(
    experiment: Experiment, split: Split, train: Dataset, x: float, label: str, steps: Steps
) -> CurvePoint:
    metric, k = _what(experiment)
    plan = experiment.evaluation
    model = create(experiment)
    asked = sum(fold.users.size for fold in split.folds.values())
    with steps.step(f"{experiment.name}: {label}", total=asked) as step:
        model.fit(train)
        evaluation = evaluate(model, split, (k,), advance=step.advance)
        views = {
            view: figures_from(
                evaluation.views[view].values[metric], [k], draws=plan.draws, seed=experiment.seed
            )[0]
            for view in VIEWS
        }
        step.note = f"{metric}@{k} {views['all'].value:.4f}, new {views['new'].value:.4f}"
    return CurvePoint(float(x), len(train.events), step.seconds, views)


def _words_of_data(points: Sequence[CurvePoint]) -> str:
    if len(points) < 2:
        return ""
    before, last = points[-2].views["all"], points[-1].views["all"]
    if last.value > before.high:
        return "more data still helps: the last step is beyond the interval of the one before"
    if last.value < before.low:
        return (
            "more data makes it worse: the last step is below the interval of the one before; "
            "the parameters may suit less data"
        )
    return "the last step lies within the interval of the one before: more data of this kind brings little"


def _words_of_age(points: Sequence[CurvePoint]) -> str:
    fresh = points[0].views["all"]
    for point in points[1:]:
        if point.views["all"].value < fresh.low:
            return f"{point.x:g} days after training it is below what a fresh model surely reaches"
    return f"within {points[-1].x:g} days it does not fall below the interval of a fresh model"
