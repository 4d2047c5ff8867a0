"""From judged models to the report's document: means, intervals, comparisons, verdict."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset
from recsys import clock
from recsys.domains.recommendations.vocabulary import INTERACTION_TYPES
from training.evaluation.evaluate import Evaluation, ViewResult
from training.evaluation.examples import ExampleItem, ExampleUser
from training.evaluation.report import document as d
from training.evaluation.report.parts import Exposure, Measure, SegmentSection
from training.evaluation.report.reliability import reliability
from training.evaluation.segments import segments
from training.evaluation.significance import Comparison, bootstrap_interval, compare, holm
from training.evaluation.splits import VIEWS, Fold, Split, View
from training.evaluation.summary import lorenz, plain, summarise
from training.experiment import Experiment
from training.fitting import Judged
from training.promotion import Decision

__all__ = ["Version", "build_report", "intervals"]

LIBRARIES = ("numpy", "scipy", "scikit-learn", "implicit", "recsys")


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


def build_report(
    *,
    run: str,
    dataset: Dataset,
    split: Split,
    versions: Sequence[Version],
    decision: Decision,
    champion: npt.NDArray[np.float64] | None,
    examples: Sequence[ExampleUser],
    command: str,
) -> d.Report:
    """The document of one run; `champion` holds the old champion's primary metric per user, where known."""
    first = versions[0].judged.experiment
    seed, draws = first.seed, first.evaluation.draws
    sections = sorted(
        (_model(version, draws, seed, split) for version in versions),
        key=lambda section: -_primary(section, first).value,
    )
    comparisons = _compare_all(versions, first)
    return d.Report(
        run=run,
        created_at=clock.now(),
        ks=list(first.evaluation.ks),
        verdict=_verdict(sections, comparisons, decision, champion, first),
        models=sections,
        comparisons=comparisons,
        data=_data(dataset, split, first),
        examples=[
            d.ExampleUser(user=e.user, why=e.why, events=e.events, recent=list(e.recent), right=e.right)
            for e in examples
        ],
        reproduction=d.Reproduction(
            command=command,
            seed=seed,
            draws=draws,
            fingerprint=dataset.fingerprint,
            commit=_commit(),
            versions={"python": platform.python_version(), **_library_versions()},
        ),
    )


def _model(version: Version, draws: int, seed: int, split: Split) -> d.ModelSection:
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
        reliability=reliability(judged.evaluation),
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
        x, y = lorenz(result, ks, k)
        exposure = Exposure(catalogue=x.tolist(), places=y.tolist())
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


def _primary(section: d.ModelSection, experiment: Experiment) -> d.Figure:
    rule, plan = experiment.promotion, experiment.evaluation
    return section.views[rule.view].metrics[rule.metric][plan.ks.index(plan.primary_k)]


def _compare_all(versions: Sequence[Version], experiment: Experiment) -> list[d.Comparison]:
    """In each view the best against each of the others, Holm-adjusted within the view."""
    found: list[d.Comparison] = []
    for view in VIEWS:
        values = {
            version.name: _values(version.judged.evaluation.views[view], experiment) for version in versions
        }
        ranked = sorted(values, key=lambda name: -_mean(values[name]))
        if len(ranked) < 2 or values[ranked[0]].size == 0:
            continue
        draws, seed = experiment.evaluation.draws, experiment.seed
        raw = [compare(values[ranked[0]], values[other], draws=draws, seed=seed) for other in ranked[1:]]
        adjusted = holm([one.p_value for one in raw])
        found += [
            _comparison(view, ranked[0], other, one, p_value, experiment.promotion.significance)
            for other, one, p_value in zip(ranked[1:], raw, adjusted, strict=True)
        ]
    return found


def _comparison(view: View, a: str, b: str, one: Comparison, p_value: float, level: float) -> d.Comparison:
    return d.Comparison(
        view=view,
        a=a,
        b=b,
        difference=one.difference,
        low=one.low,
        high=one.high,
        p_value=p_value,
        smallest=one.smallest,
        significant=p_value < level,
    )


def _values(result: ViewResult, experiment: Experiment) -> npt.NDArray[np.float64]:
    plan = experiment.evaluation
    column: npt.NDArray[np.float64] = result.values[experiment.promotion.metric][
        :, plan.ks.index(plan.primary_k)
    ]
    return column


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else 0.0


def _verdict(
    sections: Sequence[d.ModelSection],
    comparisons: Sequence[d.Comparison],
    decision: Decision,
    champion: npt.NDArray[np.float64] | None,
    experiment: Experiment,
) -> d.Verdict:
    rule, plan = experiment.promotion, experiment.evaluation
    winner = sections[0]
    mine = {one.b: one for one in comparisons if one.view == rule.view and one.a == winner.name}
    popularity = next((s.name for s in sections if s.algorithm == "popularity"), "")
    against = decision.comparison
    return d.Verdict(
        metric=rule.metric,
        k=plan.primary_k,
        view=rule.view,
        winner=winner.name,
        figure=_primary(winner, experiment),
        over_next=mine.get(sections[1].name) if len(sections) > 1 else None,
        over_popularity=mine.get(popularity),
        action=decision.action,
        promoted=decision.promoted,
        champion=decision.champion,
        champion_figure=None if champion is None else _figure(champion, experiment),
        against_champion=None
        if against is None or decision.champion is None or decision.challenger is None
        else _comparison(
            rule.view, decision.challenger, decision.champion, against, against.p_value, rule.significance
        ),
        margin=rule.margin,
        significance=rule.significance,
        reason=decision.reason,
    )


def _figure(values: npt.NDArray[np.float64], experiment: Experiment) -> d.Figure:
    plan = experiment.evaluation
    low, high = bootstrap_interval(values[:, None], draws=plan.draws, seed=experiment.seed)
    return d.Figure(k=plan.primary_k, value=float(values.mean()), low=float(low[0]), high=float(high[0]))


def _data(dataset: Dataset, split: Split, experiment: Experiment) -> d.DataSection:
    events = dataset.events
    kinds = np.bincount(events.kind[events.kind >= 0], minlength=len(INTERACTION_TYPES))
    by_type = {word: int(n) for word, n in zip(INTERACTION_TYPES, kinds, strict=True) if n}
    if unknown := int((events.kind < 0).sum()):
        by_type["other"] = unknown
    return d.DataSection(
        fingerprint=dataset.fingerprint,
        first=_moment(int(events.time[0])),
        last=_moment(int(events.time[-1])),
        cutoff=_moment(split.cutoff),
        test_days=experiment.split.test_days,
        users=len(dataset.users),
        items=len(dataset.items),
        events=len(events),
        density=dataset.matrix.nnz / max(1, len(dataset.users) * len(dataset.items)),
        by_type=by_type,
        train_users=len(split.train.users),
        train_items=len(split.train.items),
        train_events=len(split.train.events),
        test_events=split.events,
        test_users=split.users,
        cut=dataset.cut.as_json(),
        right_per_user={view: _mean(fold.sizes.astype(np.float64)) for view, fold in split.folds.items()},
    )


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _library_versions() -> Mapping[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found


def _commit() -> str | None:
    """The checkout's commit, `-dirty` when files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
