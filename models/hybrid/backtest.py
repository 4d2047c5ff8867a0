"""How a hybrid comes to its rules: a backtest on the last windows of the data, else a guess."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from features.splitting.holdout import Question, choose_protocol
from features.splitting.windows import holdout_windows
from models.base import Recommender
from models.hybrid.candidate_generation import Panel
from models.hybrid.strategy_selection import Choice, Examples, Stage, choose
from models.hybrid.training_windows import QUESTIONS, Creators, fitted, observe
from models.shared.fitted_members import FittedMembers
from models.shared.parallel import in_parallel
from recsys.errors import Invalid

__all__ = ["LIKENESS", "Backtest", "BacktestPlan", "backtest", "without_backtest"]

LIKENESS = (
    "ease",
    "item_knn",
    "co_visitation_by_type",
    "co_visitation",
    "degree_svd",
    "graph_filter",
    "als",
    "content",
    "tifu_knn",
)
"""Algorithms by what their opinion of likeness is worth, first the best."""

LEAST_USERS = 60
"""Fewer judged users than that decide nothing."""

TOO_FEW = "too few users took up something after an earlier moment to learn from; the usual leader serves"


@dataclass(frozen=True)
class BacktestPlan:
    """See `HybridParameters`."""

    days: float | None
    windows: int
    candidates: int
    users: int
    k: int
    trees: int
    seed: int


@dataclass(frozen=True, eq=False)
class Backtest:
    """choices : the rule of each question, none where the shop is too small for it. refused : members that
    could not be fitted, and why. days : length of a window.
    """

    choices: dict[Question, Choice]
    refused: dict[str, str]
    days: float


def backtest(creators: Creators, dataset: Dataset, plan: BacktestPlan) -> Backtest:
    """Learn and choose the rules on the last windows of `dataset`.

    The newest window comes first; an earlier one is added while fewer users than wanted are judged.
    """
    seen: list[dict[Question, Examples]] = []
    names, refused, days = list(creators), dict[str, str](), 0.0
    protocol, _ = choose_protocol(dataset)
    for window in reversed(holdout_windows(dataset, plan.windows, plan.days)):
        missing = plan.users - min(_judged(seen, question) for question in QUESTIONS)
        train = dataset.until(window.start)
        if missing <= 0 or train.matrix.nnz == 0:
            break
        panel, lost = fitted({name: creators[name] for name in names}, train, None)
        if seen and list(panel.members) != names:
            break  # before this window not all members can be fitted
        names, refused = list(panel.members), refused | lost
        days = (window.end - window.start) / MICROSECONDS_PER_DAY
        if not panel.members:
            return Backtest({}, refused, days)
        length, users, seed = plan.candidates, missing, plan.seed
        seen.append(observe(panel, train, dataset, window, protocol, length=length, users=users, seed=seed))
    parts = {question: [each[question] for each in seen if question in each] for question in QUESTIONS}
    decided = [question for question in QUESTIONS if _enough(parts[question])]

    def decide(question: Question) -> Choice:
        leader = _guess(creators, dataset, question, names)
        return choose(names, leader, parts[question], k=plan.k, trees=plan.trees, seed=plan.seed)

    choices = dict(zip(decided, in_parallel(decide, decided), strict=True))
    if choices:
        for question in QUESTIONS:  # if only one could be tested, the other takes its best guess
            if question not in choices:
                choices[question] = _guessed(_guess(creators, dataset, question, names))
    return Backtest(choices, refused, days)


def _judged(seen: list[dict[Question, Examples]], question: Question) -> int:
    """Users of all windows so far, one of two windows twice."""
    return sum(np.unique(each[question].users).size for each in seen if question in each)


def _enough(parts: list[Examples]) -> bool:
    return len({int(user) for each in parts for user in each.users}) >= LEAST_USERS


def without_backtest(
    creators: Creators, dataset: Dataset, known: FittedMembers | None
) -> tuple[dict[Question, Choice], Panel, dict[str, str]]:
    """The usual leader for each question, fitted. Raises Invalid when no member can be fitted."""
    refused: dict[str, str] = {}
    choices: dict[Question, Choice] = {}
    models: dict[str, Recommender] = {}
    for question in QUESTIONS:
        names = [name for name in creators if name not in refused]
        while names and question not in choices:
            name = _guess(creators, dataset, question, names)
            names.remove(name)
            if name not in models:
                panel, lost = fitted({name: creators[name]}, dataset, known)
                refused |= lost
                models |= panel.members
            if name in models:
                choices[question] = _guessed(name)
    if len(choices) < len(QUESTIONS):
        raise Invalid("no member can be fitted: " + "; ".join(f"{n}: {why}" for n, why in refused.items()))
    return choices, Panel(models), refused


def _guessed(name: str) -> Choice:
    return Choice(Stage("single", (name,)), f"{name}: {TOO_FEW}")


def _guess(creators: Creators, dataset: Dataset, question: Question, names: list[str]) -> str:
    """The member that leads most shops of this kind."""
    algorithms = {name: creators[name]().algorithm for name in names}
    order: tuple[str, ...] = ()
    if choose_protocol(dataset)[0] == "next":
        order = ("co_visitation_by_type", "co_visitation")
    elif question == "any" and _repeats(dataset):
        order = ("tifu_knn", "buy_again", "ease")
    for algorithm in (*order, *LIKENESS):
        for name in names:
            if algorithms[name] == algorithm:
                return name
    return names[0]


def _repeats(dataset: Dataset) -> bool:
    """Whether people come back for the same product: on another day, by the same kind of event, often."""
    events = dataset.events
    known = events.user >= 0
    day = (events.time[known] - events.time.min(initial=0)) // MICROSECONDS_PER_DAY
    items, kinds = int(events.item.max(initial=0)) + 1, int(events.kind.max(initial=0)) + 1
    pair = (events.user[known].astype(np.int64) * items + events.item[known]) * kinds + events.kind[known]
    days = np.unique(pair * (int(day.max(initial=0)) + 1) + day)
    return bool(days.size > 1.25 * np.unique(pair).size)
