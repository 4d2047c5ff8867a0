"""From experiments to registered models: snapshot, split, fit, judge, decide, refit, report, register."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from features.dataset import Dataset
from models.registry import registry
from models.registry.registry import RegisteredModel
from models.registry.report_paths import publish_report
from models.shared.fitted_members import FittedMembers
from recsys import clock
from recsys.artifacts.store import artifact_store
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.errors import NotFound
from recsys.privacy import tombstones
from recsys.settings import get_settings
from training.evaluation.examples import choose_users
from training.evaluation.splits import Split
from training.experiment import Experiment
from training.fit.budget import TrainingPlan, plan_training
from training.fit.cost_prices import read_costs
from training.fit.item_models import ItemResults, train_item_models
from training.fit.test_period import describe, hold_out
from training.fit.trainer import Judged, create, judge, refit
from training.fit.training_data import newest_interactions
from training.lock import training_lock
from training.progress import MIB, Steps
from training.promotion.champion import judge_champion, split_signature, write_values
from training.promotion.registration import held_for_test, register, tracked_run
from training.promotion.rule import Champion, PromotionDecision, decide, safe_order
from training.report.builder import Version, build_report
from training.report.data_section import drift_since_last, refused_rows
from training.report.document import EvaluationReport
from training.report.example_ids import with_own_ids_of_examples
from training.report.page import write_report
from training.report.run_history import past_trainings
from training.tracking.registry_sync import Mirrored, reconcile
from training.tracking.runs import Tracked, track

if TYPE_CHECKING:
    from features.build.builder import EventReader

__all__ = ["TrainingOutcome", "train"]


@dataclass(frozen=True, eq=False)
class TrainingOutcome:
    """What a run came to.

    Attributes
    ----------
    experiments
        Names of the experiments of the run, without those that the budget left out.
    dataset
        Fingerprint of the snapshot.
    skipped
        Why nothing was done; empty where something was.
    registered
        The models of item-to-item lists, which are never promoted.
    items
        The figures of these models.
    active
        The model that serves after the run; None where none does, or only models of item-to-item lists were
        trained.
    page, document
        The report and its JSON.
    seconds, peak_mib
        Of the whole run, memory in MiB; 0 where no report was written.
    """

    experiments: list[str]
    dataset: str
    skipped: str = ""
    registered: list[str] = field(default_factory=list)
    items: ItemResults | None = None
    active: str | None = None
    report: EvaluationReport | None = None
    page: Path | None = None
    document: Path | None = None
    tracked: Tracked | None = None
    mirrored: Mirrored | None = None
    seconds: float = 0.0
    peak_mib: float = 0.0
    steps: list[dict[str, Any]] = field(default_factory=list)
    plan: TrainingPlan | None = None
    """What was to be run and how long it was to take; None where nothing was done."""
    forecast_took: float = 0.0
    """Seconds of the steps that had a forecast."""


def train(
    experiments: Sequence[Experiment],
    *,
    command: str,
    actor: str,
    steps: Steps,
    if_needed: bool = False,
    rebuild: bool = False,
    budget: float | None = None,
    read_all: EventReader | None = None,
) -> TrainingOutcome:
    """Run all experiments on one snapshot and one split; register every version; promote or hold.

    A failing MLflow store is reported in the outcome and loses nothing.

    Parameters
    ----------
    command, actor
        What started the run, and who; both are kept.
    if_needed
        Do nothing where all of them are registered for this dataset already, and a model of it serves.
    rebuild
        Build a new snapshot first.
    budget
        Seconds that fitting and judging may take by forecast; what does not fit is left out, as
        `training.fit.budget` says.
    read_all
        Reads the interactions of a new snapshot in place of this process.

    Raises
    ------
    Invalid
        For a wrong experiment or data that cannot be split.
    Conflict
        While another training runs.
    Unavailable
        Where the store of artifacts is away.
    """
    started = perf_counter()
    for experiment in experiments:
        create(experiment)  # a wrong parameter is refused before anything long begins
    artifact_store().prepare()
    with training_lock():
        with unit_of_work() as session:
            # a person who is erased from now on may be in what is read next
            erased_before = tombstones.everybody(session)
        dataset = newest_interactions(
            _snapshot(rebuild, steps, read_all), [each.algorithm for each in experiments], steps
        )
        plan = None if budget is None else plan_training(experiments, dataset, budget)
        experiments = experiments if plan is None else plan.experiments
        names = [experiment.name for experiment in experiments]
        if if_needed and (standing := _standing(experiments, dataset.fingerprint)):
            reason = (
                f"every experiment is registered for this dataset and settings already, and {standing} serves"
            )
            return TrainingOutcome(
                names, dataset.fingerprint, skipped=reason, active=standing, mirrored=reconcile()
            )
        plan = plan or plan_training(experiments, dataset)
        for line in plan.lines():
            steps.say(line)
        run = f"{clock.now():%Y%m%dT%H%M%SZ}-{dataset.fingerprint[:8]}"
        lists = [experiment for experiment in plan.experiments if not experiment.promotable]
        experiments = [experiment for experiment in plan.experiments if experiment.promotable]
        # before this run registers anything: it is no training before itself
        drift = drift_since_last(dataset)
        registered: list[str] = []
        items: ItemResults | None = None
        if lists:
            registered, items = train_item_models(lists, dataset, run, steps, plan.by_name(), erased_before)
        if not experiments:
            return TrainingOutcome(
                names,
                dataset.fingerprint,
                registered=registered,
                items=items,
                mirrored=reconcile(),
                plan=plan,
                forecast_took=steps.forecast_took(),
            )
        split, judged, champion, decision = _judge_all(experiments, dataset, steps, plan)
        versions = _refit_all(judged, dataset, steps, plan)
        folder = get_settings().var / "reports" / run
        with steps.step("write the report") as writing:
            report = with_own_ids_of_examples(
                build_report(
                    run=run,
                    dataset=dataset,
                    split=split,
                    versions=versions,
                    decision=decision,
                    champion=None if champion is None else champion.values,
                    examples=choose_users(split),
                    command=command,
                    drift=drift,
                    refused=refused_rows(get_settings().var / "imports"),
                    item_lists=[] if items is None else items.sections(),
                    history=past_trainings(
                        [one.name for one in experiments],
                        experiments[0].promotion,
                        experiments[0].evaluation.primary_k,
                    ),
                )
            )
            page, document = write_report(report, folder)
            signature = split_signature(split, dataset.fingerprint, experiments[0])
            write_values(folder / "figures", signature, {v.name: v.judged.evaluation for v in versions})
            publish_report(folder)
            writing.note = str(page)
        with steps.step(
            "register" if decision.promoted is None else f"register, promote {decision.promoted}"
        ):
            active = register(versions, report, decision, dataset, actor, erased_before)
    with steps.step("log to MLflow") as tracking:
        tracked = track([tracked_run(version, report, [page, document]) for version in versions])
        tracking.note = tracked.problem or tracked.uri
    _remember_tracking(tracked)
    with steps.step("bring MLflow's registry in step") as mirroring:
        mirrored = reconcile()
        mirroring.note = mirrored.problem or f"{mirrored.changes} changes"
    return TrainingOutcome(
        names,
        dataset.fingerprint,
        active=active,
        registered=registered,
        items=items,
        report=report,
        page=page,
        document=document,
        tracked=tracked,
        mirrored=mirrored,
        seconds=perf_counter() - started,
        peak_mib=max(step.peak_mib for step in steps.done),
        steps=[
            {"name": s.name, "seconds": round(s.seconds, 2), "peak_mib": round(s.peak_mib)}
            for s in steps.done
        ],
        plan=plan,
        forecast_took=steps.forecast_took(),
    )


def _snapshot(rebuild: bool, steps: Steps, read_all: EventReader | None) -> Dataset:
    from features.build.builder import build_reported, current

    settings = get_settings()
    if not rebuild:
        try:
            with steps.step("open the dataset snapshot") as opening:
                dataset = current(settings)
                opening.note = f"{len(dataset.events):,} events, fingerprint {dataset.fingerprint[:12]}"
            return dataset
        except NotFound:
            steps.say("there is no dataset snapshot yet: one is built now")
    with steps.step("build the dataset snapshot") as building:
        dataset = build_reported(settings, read_all=read_all).dataset
        building.note = f"{len(dataset.events):,} events, fingerprint {dataset.fingerprint[:12]}"
    return dataset


def _standing(experiments: Sequence[Experiment], fingerprint: str) -> str:
    """The active model's name when nothing would be learned by running again, else an empty string."""
    with unit_of_work() as session:
        active, registered = registry.active(session), registry.list_models(session)
    if active is None or active.dataset != fingerprint or not registry.has_artifact(active):
        return ""
    there = [model.parameters.get("experiment") for model in registered if model.dataset == fingerprint]
    complete = all(experiment.model_dump(mode="json") in there for experiment in experiments)
    return active.name if complete else ""


def _names(experiments: Sequence[Experiment]) -> tuple[list[int], RegisteredModel | None]:
    with unit_of_work() as session:
        return [
            registry.next_version(session, experiment.name) for experiment in experiments
        ], registry.active(session)


def _judge_all(
    experiments: Sequence[Experiment], dataset: Dataset, steps: Steps, plan: TrainingPlan
) -> tuple[Split, list[tuple[str, int, Judged]], Champion | None, PromotionDecision]:
    first = experiments[0]
    rule = first.promotion
    with steps.step("split off a test period") as splitting:
        split = hold_out(dataset, first)
        split = replace(split, costs=read_costs(split.train))
        splitting.note = split.problem or describe(split)
    steps.say(f"{split.train.target.reason} {split.why}".strip())
    examples = choose_users(split)
    versions, serving = _names(experiments)
    known = FittedMembers(split.train)
    forecasts = plan.by_name()
    judged = [
        (
            f"{experiment.name}-v{version}",
            version,
            judge(experiment, split, examples, steps, known, forecasts[experiment.name]),
        )
        for experiment, version in zip(experiments, versions, strict=True)
    ]
    champion = None
    if serving is not None:
        pairs = [(name, one) for name, _, one in judged]
        champion = judge_champion(serving, pairs, split, dataset.fingerprint, steps)
    decision = decide(
        {name: one.primary() for name, _, one in judged},
        champion,
        rule,
        figures={name: one.gate() for name, _, one in judged},
        k=first.evaluation.primary_k,
        draws=first.evaluation.draws,
        seed=first.seed,
        safe=safe_order({name: one.experiment.algorithm for name, _, one in judged}),
        problem=split.problem,
        others={name: one.secondary() for name, _, one in judged},
    )
    with unit_of_work() as session:
        decision = held_for_test(decision, ab_tests.running(session))
    return split, judged, champion, decision


def _refit_all(
    judged: Sequence[tuple[str, int, Judged]], dataset: Dataset, steps: Steps, plan: TrainingPlan
) -> list[Version]:
    versions, forecasts = [], plan.by_name()
    known = FittedMembers(dataset)
    for name, version, one in judged:
        own = one.experiment.name
        with steps.step(f"fit {own} on everything", forecast=forecasts[own].refit) as fitting:
            folder = registry.artifact_folder(name)
            checksum = refit(one, known, folder)
            registry.publish_artifact(name)
            size = sum(file.stat().st_size for file in folder.iterdir()) / MIB
            fitting.note = f"{name}, {size:,.1f} MiB"
        versions.append(Version(name, version, one, checksum, fitting.seconds, size))
    return versions


def _remember_tracking(tracked: Tracked) -> None:
    if not tracked.runs:
        return
    with unit_of_work() as session:
        for name, run in tracked.runs.items():
            registry.annotate(session, name, {"mlflow": {"uri": tracked.uri, "run": run}})
