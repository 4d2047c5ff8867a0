"""The model that serves now, judged on the same test as those that want its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from features.arrays import read_arrays, write_arrays
from models.registry.registry import RegisteredModel
from recsys.artifacts.store import artifact_store
from recsys.errors import RecsysError
from training.evaluation.evaluator import Evaluation
from training.evaluation.splits import Split
from training.experiment import Experiment
from training.fit.trainer import Judged, judge
from training.progress import Steps
from training.promotion.rule import Champion

__all__ = ["judge_champion", "read_values", "split_signature", "write_values"]

HEADER = "figures.json"

Values = npt.NDArray[np.float64]


def judge_champion(
    registered: RegisteredModel,
    challengers: Sequence[tuple[str, Judged]],
    split: Split,
    dataset: str,
    steps: Steps,
) -> Champion:
    """Its primary metric per user on this split, by the cheapest honest way.

    Equal algorithm, seed and parameters give an equal model on equal data, so: the challenger of the same
    recipe speaks for it; else what was stored when it was registered, if that was the same data and
    split; else its recipe is fitted once more on this split.
    """
    newer = registered.dataset != dataset
    plan = challengers[0][1].experiment
    try:
        experiment = Experiment.model_validate(registered.parameters.get("experiment"))
        # a champion of another test plan is judged by the plan of this run
        experiment = experiment.model_copy(
            update={"split": plan.split, "evaluation": plan.evaluation, "promotion": plan.promotion}
        )
    except ValidationError:
        problem = "its row does not hold the experiment that made it"
        return Champion(registered.name, None, newer=newer, problem=problem)
    for name, judged in challengers:
        if judged.experiment.recipe == experiment.recipe:
            coverage = judged.gate().coverage
            return Champion(
                registered.name,
                judged.primary(),
                recipe=name,
                newer=newer,
                coverage=coverage,
                other=judged.secondary(),
            )
    if split.problem:
        return Champion(registered.name, None, newer=newer, problem=split.problem)
    try:
        stored = _stored(registered, split, dataset, plan)
        if stored is not None:
            values, coverage = stored
            return Champion(registered.name, values, newer=newer, coverage=coverage)
        steps.say(f"the champion {registered.name} is fitted again to be judged on this split")
        again = judge(experiment, split, [], steps)
        return Champion(
            registered.name,
            again.primary(),
            newer=newer,
            coverage=again.gate().coverage,
            other=again.secondary(),
        )
    except RecsysError as error:
        return Champion(registered.name, None, newer=newer, problem=error.message)


def split_signature(split: Split, dataset: str, plan: Experiment) -> dict[str, Any]:
    """What two runs must share for their figures to be of the same test."""
    return {
        "dataset": dataset,
        "cutoff": split.cutoff,
        "split": plan.split.model_dump(mode="json"),
        "ks": list(plan.evaluation.ks),
    }


def write_values(folder: Path, signature: dict[str, Any], evaluations: dict[str, Evaluation]) -> None:
    """Keep every metric per user, so that a later run can be compared without fitting this one again.

    Who the users are is not kept: those of the same signature are the same, in the same order.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, evaluation in evaluations.items():
        for view, result in evaluation.views.items():
            arrays |= {f"{name}.{view}.{metric}": values for metric, values in result.values.items()}
            arrays[f"{name}.{view}.coverage"] = result.coverage
    write_arrays(folder, signature, arrays, header_name=HEADER)


def read_values(folder: Path, name: str, view: str, metric: str) -> tuple[dict[str, Any], Values | None]:
    """The signature, and float64 (users, len(ks)), of `coverage` (len(ks),); None where there are none."""
    header, arrays, _ = read_arrays(folder, header_name=HEADER)
    values = arrays.get(f"{name}.{view}.{metric}")
    return header, None if values is None else np.asarray(values)


def _stored(
    registered: RegisteredModel, split: Split, dataset: str, plan: Experiment
) -> tuple[Values, float] | None:
    """The primary metric per user and the coverage; None where they are not kept, or of another test."""
    kept = registered.parameters.get("figures")
    if not kept:
        return None
    folder = artifact_store().fetch_if_there(str(kept))
    if not (folder / HEADER).is_file():
        return None
    rule, evaluation = plan.promotion, plan.evaluation
    header, values = read_values(folder, registered.name, rule.view, rule.metric)
    _, coverage = read_values(folder, registered.name, rule.view, "coverage")
    if values is None or coverage is None or header != split_signature(split, dataset, plan):
        return None
    place = evaluation.ks.index(evaluation.primary_k)
    return values[:, place], float(coverage[place])
