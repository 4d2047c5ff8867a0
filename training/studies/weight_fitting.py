"""`recsys train weights`: fits what interaction types weigh and how fast they fade, on a validation split."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from features.dataset import Dataset
    from features.interactions import InteractionWeights
    from training.evaluation.significance import PairedDifference
    from training.experiment import Experiment

__all__ = ["FACTORS", "HALF_LIVES", "Fitted", "fit_weights", "weights"]

FACTORS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Weights that each type is tried with; the type that is to be predicted keeps 1, since only ratios count."""
HALF_LIVES = (7.0, 14.0, 30.0, 60.0, 90.0, 180.0, 365.0)
SIGNIFICANT = 0.05
"""A difference that chance alone gives more often than that is no reason to change a setting."""

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The best weights, beside the present settings.

    Attributes
    ----------
    value, before
        Mean of the metric on the validation split, with the best weights and with the present settings.
    comparison
        The paired test that says whether the difference is significant.
    tried
        How many candidates were tried.
    """

    weights: InteractionWeights
    value: float
    before: float
    comparison: PairedDifference
    tried: int

    @property
    def proposed(self) -> bool:
        """Whether the weights are worth a change: better by more than chance explains."""
        return self.comparison.difference > 0 and self.comparison.p_value < SIGNIFICANT


def fit_weights(
    dataset: Dataset, experiment: Experiment, *, rounds: int = 2, progress: Progress = lambda _: None
) -> Fitted:
    """Coordinate search: one type's weight, or the half-life, after the other, while the metric grows.

    The test period of a training is cut off first, so it stays unseen; what is predicted is the window before
    it. Metric, view and list length are the experiment's own; what counts as a success is the dataset's
    target or `[split] positive`, whatever the candidates weigh.

    Parameters
    ----------
    rounds
        Passes over all weights, at most.
    progress
        Called with what was found so far.

    Raises
    ------
    Invalid
        Where the log is too short.
    """
    from training.evaluation.significance import compare
    from training.evaluation.splits import test_window, with_target
    from training.fit.test_period import planned_split

    plan, rule = experiment.split, experiment.promotion
    aimed = with_target(dataset, plan.positive)
    past = aimed.until(test_window(aimed, plan.test_days).start)
    split = planned_split(past, plan)
    judge = _judge_with(split, experiment)
    start = dataset.weights
    best, values = start, judge(start)
    first, tried = values, 1
    progress(f"settings of now: {rule.metric}@{experiment.evaluation.primary_k} {values.mean():.4f}")
    for _ in range(rounds):
        before = best
        for name in [*_types(past), "half_life_days"]:
            for candidate in _candidates(best, name, _measure(past)):
                found = judge(candidate)
                tried += 1
                if found.mean() > values.mean():
                    best, values = candidate, found
            progress(f"{values.mean():.4f} with {_listed(best)}")
        if best == before:
            break
    comparison = compare(values, first, draws=experiment.evaluation.draws, seed=experiment.seed)
    return Fitted(best, float(values.mean()), float(first.mean()), comparison, tried)


def _types(past: Dataset) -> list[str]:
    """The types that occur, without the type that measures the others."""
    import numpy as np

    from recsys.domains.recommendations.types import INTERACTION_TYPES

    there = [INTERACTION_TYPES[kind] for kind in np.unique(past.events.kind) if kind >= 0]
    return [word for word in there if word != _measure(past)]


def _measure(past: Dataset) -> str:
    """The strongest type of the target: it keeps its weight, since only ratios count."""
    return past.target.types[0]


def _candidates(best: InteractionWeights, name: str, measure: str) -> Iterator[InteractionWeights]:
    if name == "half_life_days":
        for days in HALF_LIVES:
            if days != best.half_life_days:
                yield replace(best, half_life_days=days)
        return
    unit = best.by_type.get(measure, 0.0) or max([*best.by_type.values(), 1.0])
    for factor in FACTORS:
        weight = round(factor * unit, 6)
        if weight != best.by_type.get(name, 0.0):
            yield replace(best, by_type={**best.by_type, name: weight})


def _judge_with(split: Any, experiment: Experiment) -> Callable[[InteractionWeights], Any]:
    from training.evaluation.evaluator import evaluate
    from training.fit.trainer import create

    plan, rule = experiment.evaluation, experiment.promotion

    def judge(candidate: InteractionWeights) -> Any:
        train = replace(split.train, weights=candidate)
        model = create(experiment).fit(train)
        found = evaluate(model, replace(split, train=train), (plan.primary_k,))
        return found.views[rule.view].values[rule.metric][:, 0]

    return judge


def _listed(weights: InteractionWeights) -> str:
    types = ", ".join(f"{word} {weight:g}" for word, weight in sorted(weights.by_type.items()))
    return f"{types}; half-life {weights.half_life_days:g} days"


def weights(
    experiment: Annotated[
        str, typer.Option(help="Experiment whose model, split and metric judge: a file, or a shipped name.")
    ] = "item_knn",
    rounds: Annotated[int, typer.Option(min=1, max=10, help="Passes over all weights, at most.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")] = False,
) -> None:
    """Fit the weights of interaction types and their half-life, and print them as settings.

    On the current snapshot, before its test period; nothing is stored: put the printed lines into .env.
    Where the difference may be chance (p of 0.05 or more) nothing is proposed.

    Example: recsys train weights --experiment item_knn
    """
    from rich.console import Console

    from features.build.builder import current
    from recsys.settings import get_settings
    from training.evaluation.significance import format_p
    from training.experiment import load
    from training.fit.training_data import newest_interactions
    from training.progress import Steps

    chosen = load(experiment)
    console = Console(stderr=True, soft_wrap=True)
    dataset = newest_interactions(current(get_settings()), [chosen.algorithm], Steps(console))
    fitted = fit_weights(dataset, chosen, rounds=rounds, progress=console.print)
    lines = _settings(fitted.weights) if fitted.proposed else {}
    metric = f"{chosen.promotion.metric}@{chosen.evaluation.primary_k}"
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "weights": fitted.weights.as_json(),
                    "metric": metric,
                    "fitted": fitted.value,
                    "now": fitted.before,
                    "p_value": fitted.comparison.p_value,
                    "tried": fitted.tried,
                    "proposed": fitted.proposed,
                    "settings": lines,
                }
            )
        )
        return
    out = Console(soft_wrap=True)
    out.print(
        f"{metric} {fitted.before:.4f} → {fitted.value:.4f} on the validation period "
        f"({format_p(fitted.comparison.p_value, fitted.comparison.floor)}, "
        f"{fitted.tried} candidates of {chosen.name})"
    )
    if not fitted.proposed:
        out.print("No change is proposed: the difference may be chance. The settings of now stay.")
    for name, value in lines.items():
        out.print(f"{name}='{value}'", highlight=False)


def _settings(fitted: InteractionWeights) -> dict[str, str]:
    return {
        "RECSYS_FEATURES__WEIGHTS": json.dumps(dict(sorted(fitted.by_type.items()))),
        "RECSYS_FEATURES__HALF_LIFE_DAYS": f"{fitted.half_life_days:g}",
    }
