"""How a hybrid comes to its rules: a backtest on the last windows of the data, else a guess."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from features.splitting.holdout import Question, choose_protocol
from features.splitting.windows import holdout_windows
from models.base import Recommender
from models.hybrid.candidate_generation import Panel, most_taken
from models.hybrid.last_successes import hold_out_last, users_with_last
from models.hybrid.strategy_selection import Choice, Examples, Stage, choose
from models.hybrid.training_windows import QUESTIONS, Creators, fitted, observe, observe_last
from models.shared.fitted_members import FittedMembers
from models.shared.parallel import in_parallel
from recsys.errors import Invalid
from recsys.processes.heap import trim_heap

__all__ = [
    "LIKENESS",
    "MOST_STEPS",
    "NEIGHBOURHOODS",
    "Backtest",
    "BacktestPlan",
    "backtest",
    "suited",
    "without_backtest",
]

LIKENESS = (
    "normalised_knn",
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

NEIGHBOURHOODS = ("normalised_knn", "rp3beta")
"""Algorithms whose fit grows with the pairs of products of each user."""
MOST_STEPS = 150_000_000
"""So many of these pairs take some 5 seconds of one core."""

ORDERED = ("co_visitation", "tale")
"""Algorithms of the order in which users do things, whatever its type."""
COME_BACK = "people come back for the same products"

FEW = 0.1
"""Windows that judge a smaller share of those who took up something last say little about the others."""

LEAST_USERS = 60
"""Fewer judged users than that decide nothing."""

LATELY_DAYS = 28.0
"""What counts as lately where no window was observed."""

TOO_FEW = "too few users took up something after an earlier moment to learn from; the usual leader serves"


@dataclass(frozen=True)
class BacktestPlan:
    """See `HybridParameters`."""

    days: float | None
    windows: int
    candidates: int
    pool: int
    users: int
    enough_users: int
    k: int
    trees: int
    seed: int


@dataclass(frozen=True, eq=False)
class Backtest:
    """What a backtest decided.

    Attributes
    ----------
    choices
        The rule of each question, none where the shop is too small for it.
    refused
        Members that could not be fitted, and why.
    days
        Length of a window.
    """

    choices: dict[Question, Choice]
    refused: dict[str, str]
    days: float


def backtest(creators: Creators, dataset: Dataset, plan: BacktestPlan) -> Backtest:
    """Learn and choose the rules on the last windows, else on what each user took up last."""
    observed = _on_windows(creators, dataset, plan)
    if not any(_enough(observed.parts(question)) for question in QUESTIONS) or _are_few(
        observed, dataset, plan
    ):
        observed = _on_last_successes(creators, dataset, plan) or observed
    # fitting, asking and learning leave a gigabyte in pieces that what follows cannot use
    trim_heap()
    names = observed.names
    decided = [question for question in QUESTIONS if _enough(observed.parts(question))]

    def decide(question: Question) -> Choice:
        leader = _guess(creators, dataset, question, names)
        return choose(names, leader, observed.parts(question), k=plan.k, trees=plan.trees, seed=plan.seed)

    choices = dict(zip(decided, in_parallel(decide, decided), strict=True))
    trim_heap()
    if choices:
        for question in QUESTIONS:  # if only one could be tested, the other takes its best guess
            if question not in choices:
                choices[question] = _guessed(_guess(creators, dataset, question, names))
    return Backtest(choices, observed.refused, observed.days)


def suited(
    creators: Creators, dataset: Dataset
) -> tuple[dict[str, Callable[[], Recommender]], dict[str, str]]:
    """The members that are worth their time on this dataset, and why others are left out."""
    if not dataset.is_repeated:
        return dict(creators), {}
    why: dict[str, str] = {}
    steps = int((np.diff(dataset.matrix.indptr).astype(np.int64) ** 2).sum())
    for name, create in creators.items():
        algorithm = create().algorithm
        if algorithm in ORDERED:
            why[name] = f"{COME_BACK}, and their order says little"
        elif algorithm in NEIGHBOURHOODS and steps > MOST_STEPS:
            why[name] = (
                f"{COME_BACK}, where it never led, and {steps:,} pairs of products of one user are more than "
                f"the {MOST_STEPS:,} that it may take"
            )
    if len(why) == len(creators):
        return dict(creators), {}
    return {name: create for name, create in creators.items() if name not in why}, why


@dataclass(frozen=True, eq=False)
class _Observed:
    """What members answered in windows of the past.

    Attributes
    ----------
    seen
        Examples of each question, per window.
    names
        The members.
    refused
        Why others could not be fitted, by name.
    days
        Length of a window.
    """

    seen: list[dict[Question, Examples]]
    names: list[str]
    refused: dict[str, str]
    days: float

    def parts(self, question: Question) -> list[Examples]:
        """The examples of one question."""
        return [each[question] for each in self.seen if question in each]


def _on_windows(creators: Creators, dataset: Dataset, plan: BacktestPlan) -> _Observed:
    """The newest window comes first; an earlier one is added while fewer users than enough are judged."""
    seen: list[dict[Question, Examples]] = []
    names, refused, days = list(creators), dict[str, str](), 0.0
    protocol, _ = choose_protocol(dataset)
    for window in reversed(holdout_windows(dataset, plan.windows, plan.days)):
        judged = min(_judged(seen, question) for question in QUESTIONS)
        train = dataset.until(window.start)
        if judged >= plan.enough_users or train.matrix.nnz == 0:
            break
        panel, lost = fitted({name: creators[name] for name in names}, train, None)
        if seen and list(panel.members) != names:
            break  # before this window not all members can be fitted
        names, refused = list(panel.members), refused | lost
        days = (window.end - window.start) / MICROSECONDS_PER_DAY
        if not panel.members:
            break
        panel = replace(panel, pool=most_taken(train, plan.pool))
        length, users, seed = plan.candidates, plan.users - judged, plan.seed
        seen.append(observe(panel, train, dataset, window, protocol, length=length, users=users, seed=seed))
    return _Observed(seen, names, refused, days)


def _on_last_successes(creators: Creators, dataset: Dataset, plan: BacktestPlan) -> _Observed | None:
    """What each user took up last is held out; None where too few users took up enough for that."""
    train, held = hold_out_last(dataset, QUESTIONS, users=plan.users, seed=plan.seed)
    if max(each.users.size for each in held) < LEAST_USERS or train.matrix.nnz == 0:
        return None
    panel, refused = fitted(creators, train, None)
    if not panel.members:
        return None
    panel = replace(panel, pool=most_taken(train, plan.pool))
    seen = observe_last(panel, train, held, LATELY_DAYS, length=plan.candidates)
    return _Observed([seen], list(panel.members), refused, LATELY_DAYS)


def _are_few(observed: _Observed, dataset: Dataset, plan: BacktestPlan) -> bool:
    """Whether the windows judge few of the users, such as the heaviest ones alone."""
    judged = max(_distinct_users(observed.parts(question)) for question in QUESTIONS)
    return judged < plan.enough_users and judged < FEW * users_with_last(dataset)


def _judged(seen: list[dict[Question, Examples]], question: Question) -> int:
    """Users of all windows so far, one of two windows twice."""
    return sum(np.unique(each[question].users).size for each in seen if question in each)


def _enough(parts: list[Examples]) -> bool:
    return _distinct_users(parts) >= LEAST_USERS


def _distinct_users(parts: list[Examples]) -> int:
    return np.unique(np.concatenate([np.empty(0, np.int64), *(each.users for each in parts)])).size


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
    elif question == "any" and dataset.is_repeated:
        order = ("tifu_knn", "buy_again", "ease")
    for algorithm in (*order, *LIKENESS):
        for name in names:
            if algorithms[name] == algorithm:
                return name
    return names[0]
