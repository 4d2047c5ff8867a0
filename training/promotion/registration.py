"""What is kept of a trained version: its row with every column filled, the promotion, the MLflow run."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.dataset import Dataset
from models.registry import registry
from models.registry.registry import Registration
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.assignment import Running
from recsys.domains.recommendations.stored_lists import locks
from recsys.privacy import trained_models
from recsys.privacy.tombstones import Tombstone
from training.promotion.guardrails import plain_bounds
from training.promotion.rule import PromotionDecision, label
from training.report.builder import Version
from training.report.document import EvaluationReport, ModelSection
from training.tracking.runs import TrackedRun

__all__ = ["held_for_test", "register", "tracked_run"]


def held_for_test(decision: PromotionDecision, tests: Sequence[Running]) -> PromotionDecision:
    """The decision while A/B tests run: nobody takes the place of the model they test against."""
    if not tests or decision.promoted is None:
        return decision
    names = ", ".join(test.name for test in tests)
    reason = (
        f"{decision.reason}; held all the same while the A/B test {names} runs (against {tests[0].control})"
    )
    return replace(decision, action="hold", promoted=None, challenger=decision.promoted, reason=reason)


def register(
    versions: Sequence[Version],
    report: EvaluationReport,
    decision: PromotionDecision,
    dataset: Dataset,
    actor: str,
    erased_before: Set[Tombstone],
) -> str | None:
    """Write all rows and the promotion in one transaction.

    Parameters
    ----------
    actor
        Who or what started the training, for the history of models.
    erased_before
        Who was erased before the dataset was opened. Others may still be in it.

    Returns
    -------
    str or None
        The model that serves after it; None where none does.
    """
    figures = report.verdict.model_dump(mode="json")
    try:
        with unit_of_work() as session:
            locks.only_one_promotion(session)
            # a test may have begun during the training
            decision = held_for_test(decision, ab_tests.running(session))
            for version in versions:
                registry.register(session, _registration(version, report, dataset, decision))
            names = [version.name for version in versions]
            trained_models.mark_registered(session, names, dataset.users.ids.tolist(), erased_before)
            if decision.promoted is not None:
                registry.activate(
                    session,
                    decision.promoted,
                    action=decision.action,
                    actor=actor,
                    reason=decision.reason,
                    figures=figures,
                )
            else:
                registry.record(
                    session,
                    "hold",
                    from_name=decision.champion,
                    to_name=decision.winner,
                    actor=actor,
                    reason=decision.reason,
                    figures=figures,
                )
            active = registry.active(session)
            return None if active is None else active.name
    except BaseException:
        # an artifact without a row would look like a model and be none
        for version in versions:
            registry.discard_artifact(version.name)
        raise


def _registration(
    version: Version, report: EvaluationReport, dataset: Dataset, decision: PromotionDecision
) -> Registration:
    judged, section = version.judged, report.model(version.name)
    k = judged.experiment.evaluation.primary_k
    place = report.ks.index(k)
    metrics = section.views["all"].metrics
    tested = not report.data.problem
    return Registration(
        name=version.name,
        version=version.version,
        type=judged.kind,
        algorithm=judged.experiment.algorithm,
        checksum=version.checksum,
        dataset=dataset.fingerprint,
        events=len(dataset.events),
        accuracy=metrics["hit_rate"][place].value if tested else None,
        precision=metrics["precision"][place].value if tested else None,
        recall=metrics["recall"][place].value if tested else None,
        parameters={
            "experiment": judged.experiment.model_dump(mode="json"),
            "hyperparameters": judged.parameters,
            "seed": judged.experiment.seed,
            "snapshot": dataset.snapshot,
            "run": report.run,
            "report": f"reports/{report.run}/report.html",
            "report_json": f"reports/{report.run}/report.json",
            "figures": f"reports/{report.run}/figures",
            "cutoff": report.data.cutoff.isoformat(),
            "metrics": _plain_metrics(section, k, place) if tested else {},
            "target": report.data.target,
            "protocol": report.data.protocol if tested else None,
            "columns": {
                column: f"{label(metric, k)}, all products, test period after the cutoff"
                for column, metric in (
                    ("accuracy", "hit_rate"),
                    ("precision_score", "precision"),
                    ("recall_score", "recall"),
                )
            },
            "cost": section.cost.model_dump(mode="json"),
            # the verdict of the rule on this version: `recsys train promote` asks for --force against it
            "gate": {
                "action": decision.action if version.name == decision.promoted else "hold",
                "reason": decision.reason,
                "guardrails": plain_bounds(decision.guardrails.get(version.name, ())),
            },
        },
    )


def _plain_metrics(section: ModelSection, k: int, place: int) -> dict[str, Any]:
    """View → metric → mean and interval at the primary k."""
    return {
        view: {
            **{
                metric: figures[place].model_dump(mode="json", exclude={"k"})
                for metric, figures in part.metrics.items()
            },
            "coverage": part.coverage[place],
            "k": k,
        }
        for view, part in section.views.items()
    }


def tracked_run(version: Version, report: EvaluationReport, artifacts: Sequence[Path]) -> TrackedRun:
    """What MLflow remembers: hyper-parameters, every metric with the list length as its step, the report."""
    judged, section = version.judged, report.model(version.name)
    metrics: dict[str, dict[int, float]] = {}
    for view, part in section.views.items() if not report.data.problem else ():
        for metric, figures in part.metrics.items():
            metrics[f"{view}.{metric}"] = {figure.k: figure.value for figure in figures}
        metrics[f"{view}.coverage"] = dict(zip(report.ks, part.coverage, strict=True))
    for name, value in section.cost.model_dump().items():
        metrics[f"cost.{name}"] = {0: float(value)}
    return TrackedRun(
        version.name,
        {"algorithm": section.algorithm, "seed": section.seed, **judged.parameters},
        {
            "recsys.name": version.name,
            "recsys.version": str(version.version),
            "recsys.experiment": judged.experiment.name,
            "recsys.run": report.run,
            "recsys.dataset": report.data.fingerprint,
            "recsys.checksum": version.checksum,
            "recsys.promoted": str(report.verdict.promoted == version.name).lower(),
        },
        metrics,
        artifacts,
    )
