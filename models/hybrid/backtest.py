"""How a hybrid comes to its rules: rehearsed on the last windows of the data, else a guess."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.dataset import Dataset
from models.base import Recommender
from models.hybrid.candidate_generation import Panel
from models.hybrid.strategy_selection import Choice, Examples, Stage, choose
from models.hybrid.training_windows import TASKS, Creators, Task, fitted, observe, windows
from recsys.errors import Invalid

__all__ = ["LIKENESS", "Plan", "rehearse", "without_rehearsal"]

LIKENESS = ("ease", "item_knn", "co_visitation", "degree_svd", "graph_filter", "als", "content", "tifu_knn")
"""Algorithms by what their opinion of likeness is worth, first the best."""

LEAST_USERS = 100
"""Fewer judged users than that decide nothing."""

TOO_FEW = "too few users took up something after an earlier moment to learn from; the usual leader serves"


@dataclass(frozen=True)
class Plan:
    """See `HybridParameters`."""

    days: float | None
    candidates: int
    users: int
    k: int
    trees: int
    seed: int


def rehearse(creators: Creators, dataset: Dataset, plan: Plan) -> tuple[dict[Task, Choice], dict[str, str]]:
    """The choice of each task, none where the shop is too small for it; and why members were refused."""
    seen: list[dict[Task, Examples]] = []
    names, refused = list(creators), dict[str, str]()
    for window in windows(dataset, plan.days):
        train = dataset.until(window.start)
        if train.matrix.nnz == 0:
            continue
        panel, lost = fitted({name: creators[name] for name in names}, train)
        refused |= lost
        if not panel.members:
            return {}, refused
        if list(panel.members) != names:
            names, seen = list(panel.members), []  # an earlier window heard other members
        examples = observe(
            panel, train, dataset, window, length=plan.candidates, users=plan.users, seed=plan.seed
        )
        if examples:
            seen.append(examples)
    choices: dict[Task, Choice] = {}
    for task in TASKS:
        parts = _halves([examples[task] for examples in seen])
        if parts is not None:
            choices[task] = choose(names, *parts, k=plan.k, trees=plan.trees, seed=plan.seed)
    if choices:
        for task in TASKS:  # if only one could be rehearsed, the other takes its best guess
            if task not in choices:
                choices[task] = _guessed(_guess(creators, dataset, task, names))
    return choices, refused


def _halves(parts: list[Examples]) -> tuple[Examples, Examples] | None:
    """What to learn from and what to judge on; None where either has too few users."""
    parts = [part for part in parts if part.candidates.users >= LEAST_USERS]
    if len(parts) == 2:
        return parts[0], parts[1]
    if not parts or parts[0].candidates.users < 2 * LEAST_USERS:
        return None
    users = np.arange(parts[0].candidates.users)
    return parts[0].take(users[0::2]), parts[0].take(users[1::2])


def without_rehearsal(
    creators: Creators, dataset: Dataset
) -> tuple[dict[Task, Choice], Panel, dict[str, str]]:
    """The usual leader for each task, fitted. Raises Invalid when no member can be fitted."""
    refused: dict[str, str] = {}
    choices: dict[Task, Choice] = {}
    models: dict[str, Recommender] = {}
    for task in TASKS:
        names = [name for name in creators if name not in refused]
        while names and task not in choices:
            name = _guess(creators, dataset, task, names)
            names.remove(name)
            if name not in models:
                panel, lost = fitted({name: creators[name]}, dataset)
                refused |= lost
                models |= panel.members
            if name in models:
                choices[task] = _guessed(name)
    if len(choices) < len(TASKS):
        raise Invalid("no member can be fitted: " + "; ".join(f"{n}: {why}" for n, why in refused.items()))
    return choices, Panel(models), refused


def _guessed(name: str) -> Choice:
    return Choice(Stage("single", (name,)), f"{name}: {TOO_FEW}")


def _guess(creators: Creators, dataset: Dataset, task: Task, names: list[str]) -> str:
    """The member that leads most shops of this kind."""
    algorithms = {name: creators[name]().algorithm for name in names}
    order = ("tifu_knn", "buy_again", "ease") if task == "any" and _repeats(dataset) else ()
    for algorithm in (*order, *LIKENESS):
        for name in names:
            if algorithms[name] == algorithm:
                return name
    return names[0]


def _repeats(dataset: Dataset) -> bool:
    """Whether people come back for the same product: on another day, by the same kind of event, often."""
    events = dataset.events
    known = events.user >= 0
    day = events.time[known] // 86_400_000_000
    keys = np.stack([events.user[known], events.item[known], events.kind[known], day])
    days = np.unique(keys, axis=1)
    pairs = np.unique(days[:3], axis=1).shape[1]
    return bool(days.shape[1] > 1.25 * pairs)
