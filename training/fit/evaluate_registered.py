"""Registered models on any split: as they are where that is honest, else their recipe refitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from features.dataset import Dataset
from models.base import Recommender
from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys.database.session import unit_of_work
from recsys.errors import Invalid, Unavailable
from recsys.settings import get_settings
from training.evaluation.compare import pooled
from training.evaluation.evaluator import Evaluation, evaluate, refuse_leak
from training.evaluation.guests import guest_values, guests_from
from training.evaluation.segments import EvaluatedPeriod, Segment, segments_over
from training.evaluation.split_plan import SplitPlan, make_splits
from training.evaluation.splits import VIEWS, Kind, Split, View
from training.experiment import Experiment
from training.fit.cost_prices import read_costs
from training.fit.trainer import create
from training.fit.training_data import newest_interactions
from training.progress import Steps

__all__ = ["Examination", "Trial", "examine", "experiment_of", "model_before", "open_dataset"]


@dataclass(frozen=True, eq=False)
class Trial:
    """One model's results.

    Attributes
    ----------
    how
        Per period: as registered, or refitted on the training part of the split.
    reason
        Why it was refitted; empty where it was not.
    evaluation
        Over all periods, each user once.
    segments
        Over all periods, by view: each user once, as in `evaluation`.
    guests
        The sessions of all periods; None where no split has guests.
    seconds
        Time of judging, all periods together.
    """

    name: str
    how: list[Literal["as registered", "refitted"]]
    reason: str
    evaluation: Evaluation
    segments: dict[View, list[Segment]]
    guests: Segment | None
    seconds: float


@dataclass(frozen=True, eq=False)
class Examination:
    """What was asked of whom: the splits of one kind, and each model's trial."""

    kind: Kind
    dataset: str
    splits: list[Split]
    trials: list[Trial]


def open_dataset() -> Dataset:
    """The current snapshot. Raises NotFound when none was built yet."""
    from features.build.builder import current

    return current(get_settings())


def experiment_of(registered: RegisteredModel) -> Experiment:
    """The experiment that made it. Raises Invalid when its row does not say."""
    try:
        return Experiment.model_validate(registered.parameters.get("experiment"))
    except ValidationError as error:
        raise Invalid(
            f"the row of {registered.name} does not hold the experiment that made it, so it cannot be fitted "
            "on the training part of a split; train it again"
        ) from error


def examine(
    names: Sequence[str],
    dataset: Dataset,
    *,
    kind: Kind,
    plan: SplitPlan,
    ks: Sequence[int],
    k: int,
    draws: int,
    seed: int,
    steps: Steps,
) -> Examination:
    """Test registered models on splits of one kind. Raises NotFound for a name that is not registered."""
    if k not in ks:
        raise Invalid(f"k {k} must be one of the list lengths {list(ks)}")
    if len(set(names)) < len(names):
        raise Invalid(f"a model is named twice ({', '.join(names)}); name each once")
    with unit_of_work() as session:
        asked = [registry.get(session, name) for name in names]
    dataset = newest_interactions(dataset, [each.algorithm for each in asked], steps)
    with steps.step(f"split: {kind}") as splitting:
        splits = [replace(one, costs=read_costs(one.train)) for one in make_splits(kind, dataset, plan)]
        splitting.note = "; ".join(
            f"{one.users['kept']:,} users, {one.events['kept']:,} events" for one in splits
        )
    trials = [_trial(one, splits, tuple(ks), k, draws, seed, steps) for one in asked]
    return Examination(kind, dataset.fingerprint, splits, trials)


def _trial(
    registered: RegisteredModel,
    splits: Sequence[Split],
    ks: tuple[int, ...],
    k: int,
    draws: int,
    seed: int,
    steps: Steps,
) -> Trial:
    how: list[Literal["as registered", "refitted"]] = []
    evaluations: list[Evaluation] = []
    reasons: list[str] = []
    guests: list[npt.NDArray[np.float64]] = []
    seconds = 0.0
    for split in splits:
        model, reason = model_before(registered, split, steps)
        how.append("refitted" if reason else "as registered")
        reasons += [reason] if reason else []
        asked = sum(fold.users.size for fold in split.folds.values())
        with steps.step(f"judge {registered.name}", total=asked) as judging:
            evaluations.append(evaluate(model, split, ks, advance=judging.advance))
            if split.guests is not None:
                guests.append(guest_values(model, split, k=k))
        seconds += judging.seconds
    parts = {view: _parts(view, splits, evaluations, k=k, draws=draws, seed=seed) for view in VIEWS}
    guest_figures = guests_from(guests, k=k, draws=draws, seed=seed) if guests else None
    why = reasons[0] if reasons else ""
    return Trial(registered.name, how, why, pooled(evaluations), parts, guest_figures, seconds)


def _parts(
    view: View, splits: Sequence[Split], evaluations: Sequence[Evaluation], *, k: int, draws: int, seed: int
) -> list[Segment]:
    periods = [
        EvaluatedPeriod(found.views[view], split, split.folds[view])
        for split, found in zip(splits, evaluations, strict=True)
    ]
    return segments_over(periods, k=k, draws=draws, seed=seed)


def model_before(registered: RegisteredModel, split: Split, steps: Steps) -> tuple[Recommender, str]:
    """The artifact, or its recipe fitted on the split's past and why that was needed."""
    try:
        model = registry.load(registered)
        refuse_leak(model, split)
    except (Invalid, Unavailable) as problem:
        recipe = create(experiment_of(registered))
        with steps.step(f"fit {registered.name} on the past") as fitting:
            seen = isinstance(problem, Invalid)
            fitting.note = "its artifact has seen the test" if seen else "its artifact cannot be used"
            return recipe.fit(split.train), problem.message
    return model, ""
