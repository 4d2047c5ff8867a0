"""Models of item-to-item lists: judged on held-out pairs, registered, never the champion for user lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from features.splitting.windows import holdout_windows
from models import factory
from models.base import Recommender
from models.registry import registry
from models.registry.registry import Registration
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import locks
from recsys.errors import Invalid, NotFound
from recsys.privacy import trained_models
from recsys.privacy.tombstones import Tombstone
from training.evaluation.item_lists import (
    FLOORS,
    ItemListFigures,
    ItemQuestion,
    QuestionName,
    ask,
    figures_of,
    floor_lists,
    model_lists,
)
from training.experiment import Experiment, load
from training.fit.forecast import TimeForecast
from training.fit.trainer import create
from training.progress import Steps
from training.report.item_section import ItemListFigure, ItemListModel, ItemListSection

__all__ = ["ITEM_ALGORITHMS", "ItemResults", "item_model", "judge_items", "train_item_models"]

ITEM_ALGORITHMS = ("similar_items", "complements", "bought_together", "item_knn", "co_visitation", "content")
QUESTIONS: tuple[QuestionName, ...] = ("similar", "complements", "cart")
K = 10


@dataclass(frozen=True, eq=False)
class ItemResults:
    """Item-to-item lists as they were judged.

    Attributes
    ----------
    notes
        What each question asks, or why it cannot be asked, by question.
    figures
        Of floors and models.
    """

    notes: dict[str, str]
    figures: list[ItemListFigures]

    def sections(self) -> list[ItemListSection]:
        """For the report: each question that could be asked, models best first."""
        return [
            _section(question, note, self.figures)
            for question, note in self.notes.items()
            if any(one.question == question for one in self.figures)
        ]


def judge_items(
    models: Mapping[str, Recommender],
    dataset: Dataset,
    test_days: float | None,
    *,
    k: int = K,
    draws: int = 1000,
    seed: int = 0,
    steps: Steps,
    forecasts: Mapping[str, TimeForecast] | None = None,
) -> ItemResults:
    """Fit each model on what was known `test_days` before the end, and judge it on what followed.

    Parameters
    ----------
    models
        By the name that the figures get.
    test_days
        None: as long as a test of this data can be (`features.splitting.windows`).
    k
        Length of the lists.
    draws, seed
        Of the bootstrap; the seed also draws the questions and the lists of the floor `random`.
    forecasts
        By the names of `models`, for the steps to show.

    Raises
    ------
    Invalid
        When none of the questions can be asked.
    """
    questions, notes = _questions(dataset, test_days, seed)
    if not questions:
        raise Invalid("; ".join(notes.values()))
    figures = [
        figures_of(floor, floor_lists(question, floor, k, seed=seed), question, draws=draws, seed=seed)
        for question in questions
        for floor in FLOORS
    ]
    for name, model in models.items():
        expected = (forecasts or {}).get(name)
        with steps.step(
            f"fit and judge {name}", forecast=None if expected is None else expected.fit + expected.judge
        ):
            model.fit(questions[0].train)
            figures += [
                figures_of(name, model_lists(model, question, k), question, draws=draws, seed=seed)
                for question in questions
            ]
    return ItemResults(notes, figures)


def train_item_models(
    experiments: Sequence[Experiment],
    dataset: Dataset,
    run: str,
    steps: Steps,
    forecasts: Mapping[str, TimeForecast],
    erased_before: Set[Tombstone],
) -> tuple[list[str], ItemResults | None]:
    """Judge, fit on everything and register each experiment.

    Parameters
    ----------
    run
        Its name, kept with each version.
    forecasts
        By the names of the experiments.
    erased_before
        Who was erased before the dataset was opened. Others may still be in it.

    Returns
    -------
    names : list of str
        Of the registered versions.
    figures : ItemResults or None
        None where the data holds nothing to judge them on: the models are registered all the same, since the
        lists of a new shop come from its catalogue.
    """
    judged: ItemResults | None = None
    first = experiments[0]
    try:
        judged = judge_items(
            {experiment.name: create(experiment) for experiment in experiments},
            dataset,
            first.split.test_days,
            draws=first.evaluation.draws,
            seed=first.seed,
            steps=steps,
            forecasts=forecasts,
        )
    except Invalid as error:
        steps.say(f"lists that start from a product are not judged: {error.message}")
    names = []
    for experiment in experiments:
        with steps.step(
            f"fit {experiment.name} on everything", forecast=forecasts[experiment.name].refit
        ) as fitting:
            with unit_of_work() as session:
                version = registry.next_version(session, experiment.name)
            name = f"{experiment.name}-v{version}"
            model = create(experiment).fit(dataset)
            checksum = model.save(registry.artifact_folder(name))
            registry.publish_artifact(name)
            figures = (
                [] if judged is None else [one for one in judged.figures if one.model == experiment.name]
            )
            row = _registration(name, version, experiment, model, checksum, dataset, run, figures)
            try:
                with unit_of_work() as session:
                    locks.only_one_promotion(session)
                    registry.register(session, row)
                    trained_models.mark_registered(session, [name], dataset.users.ids.tolist(), erased_before)
            except BaseException:
                # an artifact without a row would look like a model and be none
                registry.discard_artifact(name)
                raise
            fitting.note = name
        names.append(name)
    return names, judged


def _questions(
    dataset: Dataset, test_days: float | None, seed: int
) -> tuple[list[ItemQuestion], dict[str, str]]:
    if test_days is not None:
        cutoff = dataset.moment - round(test_days * MICROSECONDS_PER_DAY)
    elif windows := holdout_windows(dataset, 1):
        cutoff = windows[0].start
    else:
        return [], dict.fromkeys(QUESTIONS, "the events give no period to test on")
    questions, notes = [], {}
    for name in QUESTIONS:
        try:
            question = ask(dataset, cutoff, name, seed=seed)
        except Invalid as error:
            notes[str(name)] = error.message
        else:
            questions.append(question)
            notes[str(name)] = question.note
    return questions, notes


def _section(question: str, note: str, figures: Sequence[ItemListFigures]) -> ItemListSection:
    mine = sorted(
        (one for one in figures if one.question == question), key=lambda one: -one.figures["ndcg"][0]
    )
    return ItemListSection(
        question=question,
        note=note,
        k=K,
        queries=mine[0].queries,
        people=mine[0].people,
        models=[
            ItemListModel(
                model=one.model,
                metrics={
                    name: ItemListFigure(value=mean, low=low, high=high)
                    for name, (mean, low, high) in one.figures.items()
                },
                coverage=one.coverage,
                leading_share=one.leading_share,
                empty_share=one.empty_share,
            )
            for one in mine
        ],
    )


def item_model(name: str) -> Recommender:
    """An unfitted model: of an experiment (its name, or its file), else of an algorithm with its defaults.

    Raises
    ------
    Invalid
        For any other name.
    """
    try:
        return create(load(name))
    except NotFound:
        return factory.create(name)


def _registration(
    name: str,
    version: int,
    experiment: Experiment,
    model: Recommender,
    checksum: str,
    dataset: Dataset,
    run: str,
    figures: Sequence[ItemListFigures],
) -> Registration:
    """The columns of shares are of the question that the algorithm is made for, 0 where it was not judged."""
    wanted = "complements" if experiment.algorithm in ("complements", "bought_together") else "similar"
    own = next((one.figures for one in figures if one.question == wanted), {})
    means = {metric: own[metric][0] if own else 0.0 for metric in ("hit_rate", "precision", "recall")}
    parameters: dict[str, Any] = {
        "experiment": experiment.model_dump(mode="json"),
        "hyperparameters": asdict(model.parameters),
        "seed": experiment.seed,
        "snapshot": dataset.snapshot,
        "run": run,
        "metrics": {},
        "item_lists": [asdict(one) for one in figures],
        "columns": {
            column: f"{metric}@{K}, question {wanted!r}, products after the cutoff"
            for column, metric in (
                ("accuracy", "hit rate"),
                ("precision_score", "precision"),
                ("recall_score", "recall"),
            )
        },
        "gate": {
            "action": "hold",
            "reason": "not promotable: it makes lists that start from a product, not lists of users",
            "guardrails": [],
        },
    }
    return Registration(
        name=name,
        version=version,
        type=model.kind.value,
        algorithm=experiment.algorithm,
        checksum=checksum,
        dataset=dataset.fingerprint,
        events=len(dataset.events),
        accuracy=means["hit_rate"],
        precision=means["precision"],
        recall=means["recall"],
        parameters=parameters,
    )
