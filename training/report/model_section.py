"""One trained version as a section of the report: its figures, segments, calibration, cost and examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation.evaluator import ViewResult
from training.evaluation.examples import ExampleItem
from training.evaluation.segments import SegmentMembers, segments
from training.evaluation.splits import Fold, Split, View
from training.evaluation.summary import MeanEstimate, lorenz, plain, summarise
from training.experiment import EvaluationPlan
from training.fit.trainer import Judged
from training.report import document as d
from training.report.reliability import reliability
from training.report.sections import ExposureCurve, Measure, Reliability, SegmentSection

__all__ = ["Version", "model_section"]


@dataclass(frozen=True, eq=False)
class Version:
    """One judged experiment with the name it gets and what its artifact came to."""

    name: str
    version: int
    judged: Judged
    checksum: str
    refit_seconds: float
    artifact_mib: float


def model_section(
    version: Version, split: Split, parts: Mapping[View, Sequence[SegmentMembers]], *, seed: int
) -> d.ModelSection:
    """Everything that the report says of one version; `parts` and `seed` are the same for all."""
    judged = version.judged
    calibration = {view: reliability(found) for view, found in judged.outcomes.items()}
    return d.ModelSection(
        name=version.name,
        version=version.version,
        experiment=judged.experiment.name,
        algorithm=judged.experiment.algorithm,
        kind=judged.kind,
        seed=judged.experiment.seed,
        parameters=judged.parameters,
        chosen_parameters=judged.chosen_parameters,
        checksum=version.checksum,
        views={
            view: _view(
                result,
                split.folds[view],
                parts[view],
                split,
                judged.experiment.evaluation,
                seed,
                calibration.get(view),
            )
            for view, result in judged.evaluation.views.items()
        },
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
    result: ViewResult,
    fold: Fold,
    parts: Sequence[SegmentMembers],
    split: Split,
    plan: EvaluationPlan,
    seed: int,
    calibration: Reliability | None,
) -> d.ViewSection:
    ks, k, draws = plan.ks, plan.primary_k, plan.draws
    summary = summarise(result, ks, draws=draws, seed=seed)
    exposure = None
    if result.users.size and result.exposure.size:
        exposure = _exposure(result, ks, k)
    return d.ViewSection(
        users=int(result.users.size),
        metrics={name: [_figure(one) for one in summary[name]] for name in result.values},
        coverage=[float(share) for share in result.coverage],
        empty_share=result.empty_share,
        beyond={
            name: [Measure.model_validate(plain(one)) for one in found]
            for name, found in summary.items()
            if name not in result.values
        },
        unknown=result.unknown,
        segments=[
            SegmentSection.model_validate(plain(one))
            for one in segments(result, split, fold, k=k, draws=draws, seed=seed, parts=parts)
        ],
        exposure=exposure,
        reliability=calibration,
    )


def _figure(figure: MeanEstimate) -> d.Figure:
    """A figure of accuracy: it is defined for every user, and 0 where there is none."""
    if figure.users == 0:
        return d.Figure(k=figure.k, value=0.0, low=0.0, high=0.0)
    return d.Figure(k=figure.k, value=figure.value, low=figure.low, high=figure.high)


def _exposure(result: ViewResult, ks: Sequence[int], k: int) -> ExposureCurve:
    """The Lorenz curve, closest at the most shown products, where all happens in a large catalogue."""
    items = result.exposure.shape[1]
    x, y = lorenz(result, ks, k, points=items + 1)
    shares = np.unique(np.concatenate([np.linspace(0, 1, 21), 1 - np.geomspace(1 / items, 1, 60)]))
    return ExposureCurve(catalogue=shares.tolist(), places=np.interp(shares, x, y).tolist())


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
