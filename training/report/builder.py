"""From judged models to the report's document: comparisons, verdict, and the sections put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset
from recsys import clock
from training.evaluation.evaluator import ViewResult
from training.evaluation.examples import ExampleUser
from training.evaluation.segments import parts_of
from training.evaluation.significance import PairedDifference, bootstrap_interval, compare_each, holm_adjusted
from training.evaluation.splits import VIEWS, Split, View
from training.experiment import Experiment
from training.promotion.rule import PromotionDecision
from training.report import document as d
from training.report.data_section import data_section
from training.report.item_section import ItemListSection
from training.report.model_section import Version, model_section
from training.report.reproduction import reproduction
from training.report.sections import Drift, Guardrail, RefusedRows

__all__ = ["Version", "build_report"]


def build_report(
    *,
    run: str,
    dataset: Dataset,
    split: Split,
    versions: Sequence[Version],
    decision: PromotionDecision,
    champion: npt.NDArray[np.float64] | None,
    examples: Sequence[ExampleUser],
    command: str,
    drift: Drift | None = None,
    refused: list[RefusedRows] | None = None,
    history: Sequence[d.PastTraining] = (),
    item_lists: Sequence[ItemListSection] = (),
) -> d.EvaluationReport:
    """The document of one run; `champion` holds the old champion's primary metric per user, where known."""
    first = versions[0].judged.experiment
    parts = {view: parts_of([(split, fold)]) for view, fold in split.folds.items()}
    sections = sorted(
        (model_section(version, split, parts, seed=first.seed) for version in versions),
        key=lambda section: -_primary(section, first).value,
    )
    comparisons = _compare_all(versions, first)
    return d.EvaluationReport(
        run=run,
        created_at=clock.now(),
        ks=list(first.evaluation.ks),
        verdict=_verdict(sections, comparisons, decision, champion, first),
        models=sections,
        comparisons=comparisons,
        data=data_section(dataset, split, drift, refused),
        examples=[
            d.ExampleUserPart(user=e.user, why=e.why, events=e.events, recent=list(e.recent), right=e.right)
            for e in examples
        ],
        reproduction=reproduction(command, first, dataset.fingerprint),
        history=list(history),
        item_lists=list(item_lists),
    )


def _primary(section: d.ModelSection, experiment: Experiment) -> d.Figure:
    rule, plan = experiment.promotion, experiment.evaluation
    return section.views[rule.view].metrics[rule.metric][plan.ks.index(plan.primary_k)]


def _compare_all(versions: Sequence[Version], experiment: Experiment) -> list[d.ModelComparison]:
    """In each view the best against each of the others, Holm-adjusted within the view."""
    found: list[d.ModelComparison] = []
    for view in VIEWS:
        values = {
            version.name: _values(version.judged.evaluation.views[view], experiment) for version in versions
        }
        ranked = sorted(values, key=lambda name: -_mean(values[name]))
        if len(ranked) < 2 or values[ranked[0]].size == 0:
            continue
        draws, seed = experiment.evaluation.draws, experiment.seed
        others = [values[name] for name in ranked[1:]]
        raw = compare_each(values[ranked[0]], others, draws=draws, seed=seed)
        found += [
            _comparison(view, ranked[0], other, one, experiment.promotion.significance)
            for other, one in zip(ranked[1:], holm_adjusted(raw), strict=True)
        ]
    return found


def _comparison(view: View, a: str, b: str, one: PairedDifference, level: float) -> d.ModelComparison:
    return d.ModelComparison(
        view=view,
        a=a,
        b=b,
        **one.figures(level),
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
    comparisons: Sequence[d.ModelComparison],
    decision: PromotionDecision,
    champion: npt.NDArray[np.float64] | None,
    experiment: Experiment,
) -> d.ReportVerdict:
    rule, plan = experiment.promotion, experiment.evaluation
    winner = sections[0]
    mine = {one.b: one for one in comparisons if one.view == rule.view and one.a == winner.name}
    popularity = next((s.name for s in sections if s.algorithm == "popularity"), "")
    against = decision.comparison
    return d.ReportVerdict(
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
        champion_figure=None if champion is None or not champion.size else _figure(champion, experiment),
        against_champion=None
        if against is None or decision.champion is None or decision.challenger is None
        else _comparison(rule.view, decision.challenger, decision.champion, against, rule.significance),
        margin=rule.margin,
        significance=rule.significance,
        reason=decision.reason,
        guardrails=[
            Guardrail(
                name=one.name,
                value=one.value,
                limit=one.limit,
                ok=one.ok,
                model=decision.judged,
                at_least=one.at_least,
            )
            for one in decision.guardrails.get(decision.judged, ())
        ],
    )


def _figure(values: npt.NDArray[np.float64], experiment: Experiment) -> d.Figure:
    plan = experiment.evaluation
    low, high = bootstrap_interval(values[:, None], draws=plan.draws, seed=experiment.seed)
    return d.Figure(k=plan.primary_k, value=float(values.mean()), low=float(low[0]), high=float(high[0]))
