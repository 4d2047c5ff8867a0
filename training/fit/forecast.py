"""How long an experiment takes, before it begins: by its last training, else by rates measured once.

A registered version of the same recipe is scaled by the number of events. Without one, the rates below are
scaled by the measure that the recipe's work grows with.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from features.dataset import Dataset
from features.repetition import REPEATED
from models.hybrid.backtest import MOST_STEPS, NEIGHBOURHOODS, ORDERED
from models.hybrid.parameters import HybridParameters
from models.registry.registry import RegisteredModel
from models.shared.parallel import WORKERS
from training.experiment import Experiment
from training.report.document import Cost

__all__ = [
    "DataSize",
    "PastCost",
    "TimeForecast",
    "forecast_all",
    "forecast_seconds",
    "hybrid_members",
    "past_costs",
    "recipe_key",
]


@dataclass(frozen=True)
class DataSize:
    """What the work of a fit grows with; all are counts.

    Attributes
    ----------
    events
        Interactions.
    pairs
        Of a user and a product that the user interacted with (weight above 0, also for the following three).
    steps
        Sum over users of the squared number of their products: the work of a products × products matrix.
    users, products
        With at least one interaction.
    catalogue
        All products.
    """

    events: int
    pairs: int
    steps: int
    users: int
    products: int
    catalogue: int

    @classmethod
    def of(cls, dataset: Dataset) -> DataSize:
        """The size of `dataset`."""
        matrix = dataset.matrix
        degree = np.diff(matrix.indptr).astype(np.int64)
        return cls(
            len(dataset.events),
            int(matrix.nnz),
            int((degree**2).sum()),
            int(np.count_nonzero(degree)),
            int(np.count_nonzero(matrix.getnnz(axis=0))),
            int(matrix.shape[1]),
        )

    def value(self, measure: Measure) -> int:
        """One of the measures; `narrow` is the smaller of users and products."""
        return min(self.users, self.products) if measure == "narrow" else int(getattr(self, measure))


Measure = Literal["events", "pairs", "steps", "users", "products", "catalogue", "narrow"]


@dataclass(frozen=True)
class ReferenceRate:
    """Processor seconds at the size REFERENCE, and the measures whose product a fit grows with.

    Judging grows with users × catalogue: every product is scored for every user.
    """

    fit: float
    judge: float
    grows: tuple[Measure, ...] = ("pairs",)


REFERENCE = DataSize(
    events=1_201_456, pairs=730_316, steps=376_597_096, users=2_452, products=62_222, catalogue=92_334
)
"""The Complete Journey, weeks 1 to 44."""

# Measured with: OPENBLAS_NUM_THREADS=1 python -m tests.performance.bench_forecast
# als, content, degree_svd and ease were measured again later, on a machine about twice as fast
RATES: dict[str, ReferenceRate] = {
    "als": ReferenceRate(7.13, 4.96),
    "bought_together": ReferenceRate(4.00, 3.19, ("events",)),
    "bpr": ReferenceRate(45.94, 2.33),
    "buy_again": ReferenceRate(0.81, 2.50, ("events",)),
    "co_visitation": ReferenceRate(8.12, 11.44, ("events",)),
    "co_visitation_by_type": ReferenceRate(9.13, 4.66, ("events",)),
    "cold_items": ReferenceRate(6.58, 1.16, ("catalogue",)),
    "complements": ReferenceRate(9.80, 2.51, ("events",)),
    "content": ReferenceRate(0.28, 1.46, ("catalogue",)),
    "degree_svd": ReferenceRate(1.53, 3.20),
    "ease": ReferenceRate(0.96, 1.06, ("pairs", "narrow")),
    "graph_filter": ReferenceRate(2.00, 50.67),
    "hybrid": ReferenceRate(81.27, 49.64, ("catalogue",)),
    "item_knn": ReferenceRate(5.79, 2.89, ("steps",)),
    "normalised_knn": ReferenceRate(12.5, 2.6, ("steps",)),
    "popularity": ReferenceRate(0.53, 0.95, ("events",)),
    "rp3beta": ReferenceRate(19.41, 8.25, ("steps",)),
    "similar_items": ReferenceRate(9.31, 4.32, ("steps",)),
    "tale": ReferenceRate(684.78, 18.96, ("products",)),
    "tifu_knn": ReferenceRate(0.28, 7.98),
    "trending": ReferenceRate(0.17, 1.15, ("events",)),
}
"""Of the hybrid, `fit` is observing and learning beyond the fits of its members, at default parameters; both
run on all cores."""

UNKNOWN = RATES["als"]
"""For an algorithm of another package."""

DEFAULT_HYBRID = HybridParameters()
MEASURED_MEMBERS = 8
"""Members that the hybrid fitted where its rate was measured."""
JUDGED_SHARE = 0.75
"""So many of the users have a success in one window, at least where the rates were measured."""


@dataclass(frozen=True)
class TimeForecast:
    """Seconds to fit before the cutoff, to judge, and to fit on everything.

    Attributes
    ----------
    name
        Of the experiment.
    fit
        Seconds to fit before the cutoff.
    judge
        Seconds to judge.
    refit
        Seconds to fit on everything.
    source
        Where the seconds come from.
    """

    name: str
    fit: float
    judge: float
    refit: float
    source: str

    @property
    def total(self) -> float:
        """Seconds of all three."""
        return self.fit + self.judge + self.refit

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        return {
            "name": self.name,
            "seconds": round(self.total, 4),
            "fit_seconds": round(self.fit, 4),
            "judge_seconds": round(self.judge, 4),
            "refit_seconds": round(self.refit, 4),
            "source": self.source,
        }


@dataclass(frozen=True)
class PastCost:
    """What a registered version took: its name, the events it was trained on, its cost in seconds."""

    name: str
    events: int
    cost: Cost


def recipe_key(algorithm: str, parameters: Mapping[str, Any]) -> str:
    """Equal for recipes that take equal time on equal data: without name and seed."""
    return f"{algorithm} {json.dumps(dict(parameters), sort_keys=True, default=str)}"


def past_costs(registered: Iterable[RegisteredModel]) -> dict[str, PastCost]:
    """The newest version with a cost of each recipe.

    Parameters
    ----------
    registered
        Newest first, as `registry.list_models`.

    Returns
    -------
    dict of str to PastCost
        By `recipe_key`.
    """
    found: dict[str, PastCost] = {}
    for model in registered:
        experiment, cost = model.parameters.get("experiment"), model.parameters.get("cost")
        if not experiment or not cost or "algorithm" not in experiment or model.events <= 0:
            continue
        key = recipe_key(experiment["algorithm"], experiment.get("parameters", {}))
        try:
            found.setdefault(key, PastCost(model.name, model.events, Cost.model_validate(cost)))
        except ValidationError:  # registered by a program that kept other figures
            continue
    return found


def forecast_seconds(
    experiment: Experiment, size: DataSize, past: Mapping[str, PastCost], shared: Collection[str] = ()
) -> TimeForecast:
    """The forecast of one experiment on data of that size.

    Parameters
    ----------
    past
        By `recipe_key`.
    shared
        Recipes that other experiments of the same run fit, which a hybrid takes from them instead of fitting
        its members again.
    """
    key = recipe_key(experiment.algorithm, experiment.parameters)
    if key in past:
        before = past[key]
        grown = size.events / before.events
        cost = before.cost
        return TimeForecast(
            experiment.name,
            grown * cost.fit_seconds,
            grown * cost.judge_seconds,
            grown * cost.refit_seconds,
            f"{before.name}, {before.events:,} events",
        )
    if experiment.algorithm == "hybrid":
        return _hybrid(experiment, size, past, shared)
    rate = RATES.get(experiment.algorithm, UNKNOWN)
    fit = rate.fit * _growth(size, rate.grows)
    source = "rates of The Complete Journey"
    if experiment.algorithm not in RATES:
        source += f", as if {experiment.algorithm} were als"
    return TimeForecast(experiment.name, fit, _judging(rate, size, experiment), fit, source)


def forecast_all(
    experiments: Sequence[Experiment], size: DataSize, past: Mapping[str, PastCost]
) -> list[TimeForecast]:
    """The forecast of each, where what several need is fitted once."""
    shared = {recipe_key(each.algorithm, each.parameters) for each in experiments}
    return [forecast_seconds(each, size, past, shared) for each in experiments]


def hybrid_members(experiment: Experiment, size: DataSize | None = None) -> dict[str, Experiment]:
    """The members of a hybrid as experiments, by their name; those that it fits on data of this size."""
    # as `models.hybrid.backtest.suited`
    unsuited: tuple[str, ...] = ()
    if size is not None and size.events > REPEATED * size.pairs:
        unsuited = ORDERED + (NEIGHBOURHOODS if size.steps > MOST_STEPS else ())
    return {
        name: Experiment(name="member", algorithm=given["algorithm"], parameters=given.get("parameters", {}))
        for name, given in HybridParameters(**experiment.parameters).members.items()
        if given["algorithm"] not in unsuited
    }


def _hybrid(
    experiment: Experiment, size: DataSize, past: Mapping[str, PastCost], shared: Collection[str]
) -> TimeForecast:
    """Its members once per window, observing and learning, and members that nothing else of the run fits."""
    chosen, rate = HybridParameters(**experiment.parameters), RATES["hybrid"]
    members = hybrid_members(experiment, size)
    costs = {name: forecast_seconds(member, size, past) for name, member in members.items()}
    own = [
        costs[name]
        for name, member in members.items()
        if recipe_key(member.algorithm, member.parameters) not in shared
    ]
    share = len(members) / MEASURED_MEMBERS
    asked = min(size.users, chosen.users) / min(REFERENCE.users, DEFAULT_HYBRID.users)
    learning = rate.fit * _growth(size, rate.grows) / WORKERS * share * asked
    fits = sum(cost.fit for cost in costs.values()) / WORKERS
    windows = 1 if JUDGED_SHARE * size.users >= chosen.sufficient_users else chosen.windows
    return TimeForecast(
        experiment.name,
        windows * fits + learning + sum(cost.fit for cost in own) / WORKERS,
        share * _judging(rate, size, experiment),
        sum(cost.refit for cost in own),
        "its members, once per window, and rates of The Complete Journey",
    )


def _growth(size: DataSize, measures: Sequence[Measure]) -> float:
    return prod(size.value(each) / REFERENCE.value(each) for each in measures)


def _judging(rate: ReferenceRate, size: DataSize, experiment: Experiment) -> float:
    """Seconds on the clock: the lists are made on all cores, of so many users as the split judges at most."""
    judged = min(size.users, round(experiment.split.most_users / JUDGED_SHARE))
    return rate.judge * _growth(replace(size, users=judged), ("users", "catalogue")) / WORKERS
