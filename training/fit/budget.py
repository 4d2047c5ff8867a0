"""Which experiments fit into a budget of time, and what is left out for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.dataset import Dataset
from models.hybrid.parameters import HybridParameters
from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.durations import format_seconds
from training.experiment import Experiment
from training.fit.forecast import (
    DataSize,
    PastCost,
    TimeForecast,
    forecast_all,
    forecast_seconds,
    hybrid_members,
    past_costs,
    recipe_key,
)

__all__ = ["LeftOut", "TrainingPlan", "fit_to_budget", "plan_training"]

FEWEST_MEMBERS = 2
"""A hybrid of fewer members has nothing to blend."""


@dataclass(frozen=True)
class LeftOut:
    """An experiment, or a part of a hybrid, that the budget has no room for, and its forecast in seconds."""

    name: str
    seconds: float

    def __str__(self) -> str:
        return f"left out: {self.name}, {format_seconds(self.seconds)}"

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        return {"name": self.name, "seconds": round(self.seconds, 4)}


@dataclass(frozen=True)
class TrainingPlan:
    """Experiments in the order of their work, their forecasts in the same order, and what is left out."""

    experiments: list[Experiment]
    forecasts: list[TimeForecast]
    left_out: list[LeftOut]

    @property
    def seconds(self) -> float:
        """Of all forecasts together."""
        return sum(each.total for each in self.forecasts)

    def by_name(self) -> dict[str, TimeForecast]:
        """The forecasts by the names of their experiments."""
        return {each.name: each for each in self.forecasts}

    def lines(self) -> list[str]:
        """The total with its parts, the longest first, then one line for each thing left out."""
        parts = ", ".join(
            f"{each.name} {format_seconds(each.total)}"
            for each in sorted(self.forecasts, key=lambda each: -each.total)
        )
        about = "" if self.seconds < 1 else "about "
        line = f"forecast of fitting and judging: {about}{format_seconds(self.seconds)}: {parts}"
        return [line, *map(str, self.left_out)]

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it: `forecast` and `left_out`."""
        return {
            "forecast": {
                "seconds": round(self.seconds, 4),
                "experiments": [each.to_json() for each in self.forecasts],
            },
            "left_out": [each.to_json() for each in self.left_out],
        }


def plan_training(
    experiments: Sequence[Experiment], dataset: Dataset, budget: float | None = None
) -> TrainingPlan:
    """What of `experiments` is run on `dataset`, in which order, and how long it takes by forecast.

    Hybrids come last: they take members that others have fitted, so each recorded cost is the model's own.

    Parameters
    ----------
    budget
        Seconds; None for no limit.
    """
    size = DataSize.of(dataset)
    with unit_of_work() as session:
        past = past_costs(registry.list_models(session))
    kept, left = list(experiments), list[LeftOut]()
    if budget is not None:
        kept, left = fit_to_budget(kept, size, past, budget)
    kept.sort(key=lambda each: each.algorithm == "hybrid")
    return TrainingPlan(kept, forecast_all(kept, size, past), left)


def fit_to_budget(
    experiments: Sequence[Experiment], size: DataSize, past: Mapping[str, PastCost], budget: float
) -> tuple[list[Experiment], list[LeftOut]]:
    """The experiments whose forecast is within `budget` seconds, in the order given, and what is left out.

    Popularity always stays (without it, the cheapest experiment). Then, each where it fits: the hybrid, if
    need be with one window and without its dearest members; the hybrid's members by themselves, the cheapest
    first; the others, the cheapest first.
    """
    if _seconds(experiments, size, past) <= budget:
        return list(experiments), []
    alone = {each.name: forecast_seconds(each, size, past).total for each in experiments}
    kept = {
        each.name: each
        for each in [each for each in experiments if each.algorithm == "popularity"]
        or [min(experiments, key=lambda each: alone[each.name])]
    }
    left: list[LeftOut] = []

    def fits(candidate: Experiment) -> bool:
        return _seconds([*kept.values(), candidate], size, past) <= budget

    hybrids = [each for each in experiments if each.algorithm == "hybrid" and each.name not in kept]
    for hybrid in hybrids:
        for trimmed, gone in _variants(hybrid, size, past):
            if fits(trimmed):
                kept[hybrid.name] = trimmed
                left += gone
                break
        else:
            left.append(LeftOut(hybrid.name, alone[hybrid.name]))
    members = {
        recipe_key(member.algorithm, member.parameters)
        for hybrid in hybrids
        for member in hybrid_members(hybrid).values()
    }
    others = [each for each in experiments if each.name not in kept and each not in hybrids]
    others.sort(
        key=lambda each: (recipe_key(each.algorithm, each.parameters) not in members, alone[each.name])
    )
    for each in others:
        if fits(each):
            kept[each.name] = each
        else:
            left.append(LeftOut(each.name, alone[each.name]))
    return [kept[each.name] for each in experiments if each.name in kept], left


def _seconds(experiments: Sequence[Experiment], size: DataSize, past: Mapping[str, PastCost]) -> float:
    return sum(each.total for each in forecast_all(experiments, size, past))


def _variants(
    hybrid: Experiment, size: DataSize, past: Mapping[str, PastCost]
) -> Iterator[tuple[Experiment, list[LeftOut]]]:
    """The hybrid whole, then with one window, then with one member fewer each time, the dearest first."""
    yield hybrid, []
    chosen = HybridParameters(**hybrid.parameters)
    before, gone = forecast_seconds(hybrid, size, past).total, list[LeftOut]()
    costs = {
        name: forecast_seconds(member, size, past).total for name, member in hybrid_members(hybrid).items()
    }
    members = sorted(costs, key=lambda name: -costs[name])
    for count in range(max(1, len(members) - FEWEST_MEMBERS + 1)):
        dropped = members[:count]
        kept = {name: given for name, given in chosen.members.items() if name not in dropped}
        parameters = {**hybrid.parameters, "windows": 1}
        if dropped:
            parameters["members"] = kept
        smaller = hybrid.model_copy(update={"parameters": parameters})
        now = forecast_seconds(smaller, size, past).total
        if not dropped and chosen.windows == 1:
            continue
        what = (
            f"member {dropped[-1]} of {hybrid.name}"
            if dropped
            else f"windows of {hybrid.name} before the last"
        )
        gone.append(LeftOut(what, max(before - now, 0.0)))
        before = now
        yield smaller, list(gone)
