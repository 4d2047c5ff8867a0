"""One trained version as a section of the report: its figures, segments, calibration, cost and examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation.evaluate import Evaluation, ViewResult
from training.evaluation.examples import ExampleItem
from training.evaluation.report import document as d
from training.evaluation.report.parts import Exposure, Measure, SegmentSection
from training.evaluation.report.reliability import reliability
from training.evaluation.segments import segments
from training.evaluation.significance import bootstrap_interval
from training.evaluation.splits import Fold, Split, View
from training.evaluation.summary import lorenz, plain, summarise
from training.experiment import Experiment
from training.fitting import Judged

__all__ = ["Version", "intervals", "model_section"]


@dataclass(frozen=True, eq=False)
class Version:
    """One judged experiment with the name it gets and what its artifact came to."""

    name: str
    version: int
    judged: Judged
    checksum: str
    refit_seconds: float
    artifact_mib: float


def intervals(evaluation: Evaluation, *, draws: int, seed: int) -> dict[View, dict[str, list[d.Figure]]]:
    """Every metric at every k with its interval; all of one view are resampled together."""
    figures: dict[View, dict[str, list[d.Figure]]] = {}
    for view, result in evaluation.views.items():
        if result.users.size == 0:
            figures[view] = {
                name: [d.Figure(k=k, value=0.0, low=0.0, high=0.0) for k in evaluation.ks]
                for name in result.values
            }
            continue
        stacked = np.concatenate(list(result.values.values()), axis=1)
        low, high = bootstrap_interval(stacked, draws=draws, seed=seed)
        mean = stacked.mean(axis=0)
        width = len(evaluation.ks)
        figures[view] = {
            name: [
                d.Figure(k=k, value=float(mean[c]), low=float(low[c]), high=float(high[c]))
                for c, k in enumerate(evaluation.ks, start=i * width)
            ]
            for i, name in enumerate(result.values)
        }
    return figures


def model_section(version: Version, draws: int, seed: int, split: Split) -> d.ModelSection:
    """Everything that the report says of one version, with intervals over `draws` resamples."""
    judged = version.judged
    figures = intervals(judged.evaluation, draws=draws, seed=seed)
    return d.ModelSection(
        name=version.name,
        version=version.version,
        experiment=judged.experiment.name,
        algorithm=judged.experiment.algorithm,
        kind=judged.kind,
        seed=judged.experiment.seed,
        parameters=judged.parameters,
        checksum=version.checksum,
        views={
            view: _view(result, figures[view], split.folds[view], split, judged.experiment)
            for view, result in judged.evaluation.views.items()
        },
        reliability=reliability(judged.outcomes["all"]),
        hybrid=judged.hybrid,
        guests=None if judged.guests is None else SegmentSection.model_validate(plain(judged.guests)),
        cost=d.Cost(
            fit_seconds=judged.fit_seconds,
            refit_seconds=version.refit_seconds,
            judge_seconds=judged.evaluate_seconds,
            peak_mib=judged.peak_mib,
            artifact_mib=version.artifact_mib,
        ),
        examples={
            user: [
                d.ExampleList(
                    view=view, places=[_place(item, judged.experiment.algorithm) for item in places]
                )
                for view, places in lists.items()
            ]
            for user, lists in judged.lists.items()
        },
    )


def _view(
    result: ViewResult, metrics: dict[str, list[d.Figure]], fold: Fold, split: Split, experiment: Experiment
) -> d.ViewSection:
    plan, seed = experiment.evaluation, experiment.seed
    ks, k, draws = plan.ks, plan.primary_k, plan.draws
    summary = summarise(result, ks, draws=draws, seed=seed)
    exposure = None
    if result.users.size and result.exposure.size:
        exposure = _exposure(result, ks, k)
    return d.ViewSection(
        users=int(result.users.size),
        metrics=metrics,
        coverage=[float(share) for share in result.coverage],
        empty_share=result.empty_share,
        beyond={
            name: [Measure.model_validate(plain(one)) for one in found]
            for name, found in summary.items()
            if name not in metrics
        },
        unknown=result.unknown,
        segments=[
            SegmentSection.model_validate(plain(one))
            for one in segments(result, split, fold, k=k, draws=draws, seed=seed)
        ],
        exposure=exposure,
    )


def _exposure(result: ViewResult, ks: Sequence[int], k: int) -> Exposure:
    """The Lorenz curve, closest at the most shown products, where all happens in a large catalogue."""
    items = result.exposure.shape[1]
    x, y = lorenz(result, ks, k, points=items + 1)
    told = np.unique(np.concatenate([np.linspace(0, 1, 21), 1 - np.geomspace(1 / items, 1, 60)]))
    return Exposure(catalogue=told.tolist(), places=np.interp(told, x, y).tolist())


def _place(item: ExampleItem, algorithm: str) -> d.ExamplePlace:
    if item.again:
        reason = "bought before"
    elif item.because is not None:
        reason = f"because of {item.because}"
    elif algorithm == "popularity":
        reason = "popular with everyone"
    else:
        reason = "no single product speaks for it"
    return d.ExamplePlace(product=item.product, name=item.name, hit=item.hit, reason=reason)
