"""The search itself: folds before the test, trials that are given up early, one look at the test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from features.dataset import Dataset
from models.shared.memory_budget import free_bytes
from recsys.errors import Invalid, RecsysError
from training.evaluation.evaluator import evaluate
from training.evaluation.significance import compare
from training.evaluation.split_plan import SplitPlan, rolling
from training.evaluation.splits import Split
from training.experiment import Experiment
from training.fit.test_period import planned_split
from training.fit.trainer import create
from training.tuning.plan import TunePlan
from training.tuning.study import TEST_PERIOD

if TYPE_CHECKING:
    from optuna import Study, Trial

__all__ = [
    "Forecast",
    "Tested",
    "Tried",
    "TuningResult",
    "best_of",
    "folds_of",
    "forecast",
    "search",
    "test_once",
]

PARAMETERS = "parameters"
PERIODS = "periods"
TESTED = "tested"
SECONDS = "seconds"


@dataclass(frozen=True)
class Forecast:
    """What the search will take, measured by one trial of the experiment's own parameters.

    Attributes
    ----------
    trial_seconds
        Seconds of one trial, the mean of those that are over.
    trials_left
        Trials that are to be tried.
    seconds
        Seconds of all trials that are left, were none given up; the budget ends it earlier.
    budget_seconds
        Seconds that the plan allows.
    bytes
        Memory of the largest fit, as far as more is larger.
    free
        Memory that is free, in bytes.
    """

    trial_seconds: float
    trials_left: int
    seconds: float
    budget_seconds: float
    bytes: int
    free: int


@dataclass(frozen=True)
class Tried:
    """One trial; `value` is the mean over the periods that were judged, None where it failed."""

    number: int
    state: str
    parameters: dict[str, Any]
    value: float | None
    periods: list[float]
    seconds: float
    problem: str | None


@dataclass(frozen=True)
class Tested:
    """The one look at the test: the best parameters against the experiment's own, on the same users."""

    metric: str
    best: float
    own: float
    difference: float
    low: float
    high: float
    p_value: float
    users: int
    after_trials: int
    number: int


@dataclass(frozen=True)
class TuningResult:
    """Where the search stands. `tested` is of the earlier look when `looked_before`."""

    study: str
    trials: list[Tried]
    best: Tried
    tested: Tested | None
    looked_before: bool
    looks_elsewhere: int = 0
    """Other searches that looked at the same test period: each makes a chance difference more likely."""


def folds_of(dataset: Dataset, experiment: Experiment) -> tuple[Split, list[Split]]:
    """The test period, and the validation periods before it; none of them sees anything of the test."""
    plan, tune = experiment.split, _plan(experiment)
    test = planned_split(dataset, plan)
    try:
        validation = rolling(
            test.train,
            SplitPlan(
                test_days=tune.days or plan.test_days,
                folds=tune.folds,
                min_events=plan.min_events,
                positive=plan.positive,
                most_users=plan.most_users,
            ),
        )
    except Invalid as error:
        raise Invalid(f"[tune]: {error.message}") from error
    view = experiment.promotion.view
    for split in validation:
        if split.folds[view].users.size == 0:
            raise Invalid(f"[tune]: no user can be judged on products of the view {view!r} in {split.note}")
    return test, validation


def forecast(study: Study, experiment: Experiment, folds: Sequence[Split], tune: TunePlan) -> Forecast:
    """Times one trial of the experiment's own parameters; it counts as the first of the search.

    Memory is that of the largest fit among the experiment's own point and the upper end of the space.
    """
    finished = [trial for trial in study.trials if trial.state.is_finished() and SECONDS in trial.user_attrs]
    if finished:
        seconds = float(np.mean([trial.user_attrs[SECONDS] for trial in finished]))
    else:
        started = perf_counter()
        study.enqueue_trial(_own_point(experiment, tune))
        study.optimize(lambda trial: _objective(trial, experiment, folds, tune), n_trials=1)
        seconds = perf_counter() - started
    left = max(0, tune.trials - sum(trial.state.is_finished() for trial in study.trials))
    largest = max(folds, key=lambda fold: len(fold.train.events)).train
    shape = len(largest.users), len(largest.items), len(largest.events)
    needed = create(experiment).forecast(*shape)
    upper = {name: dimension.upper for name, dimension in tune.space.items() if dimension.upper is not None}
    # the upper ends together may be no valid parameters: then the trials find out one by one
    with suppress(Invalid):
        needed = max(needed, create(_with(experiment, upper)).forecast(*shape))
    return Forecast(seconds, left, seconds * left, tune.minutes * 60, needed, free_bytes())


def search(
    study: Study,
    experiment: Experiment,
    folds: Sequence[Split],
    tune: TunePlan,
    *,
    until: float,
    seen: Callable[[Tried], None],
) -> list[Tried]:
    """Try until the trials are used up or the clock (`time.monotonic`) says `until`.

    A trial that can't be fitted is noted and passed over.
    """
    from optuna.trial import FrozenTrial

    left = tune.trials - sum(trial.state.is_finished() for trial in study.trials)

    def tell(_: Study, trial: FrozenTrial) -> None:
        seen(_tried(trial))

    while left > 0 and monotonic() < until:
        study.optimize(lambda trial: _objective(trial, experiment, folds, tune), n_trials=1, callbacks=[tell])
        left -= 1
    return [_tried(trial) for trial in study.trials if trial.state.is_finished()]


def test_once(
    study: Study, experiment: Experiment, best: Tried, test: Split, period: str
) -> tuple[Tested, bool]:
    """Judge the best and the experiment's own parameters on the test period, once in the study's life.

    Parameters
    ----------
    test
        The split of the test period.
    period
        Its name, kept with the study.

    Returns
    -------
    tested : Tested
        Of this look, or of the earlier one.
    looked_before : bool
        Whether the look was taken before: then nothing is judged again, for a test that is looked at until it
        pleases is no test.
    """
    kept = study.user_attrs.get(TESTED)
    if kept is not None:
        return Tested(**kept), True
    rule, plan = experiment.promotion, experiment.evaluation
    place = plan.ks.index(plan.primary_k)
    values = []
    for one in (_with(experiment, best.parameters), experiment):
        result = evaluate(create(one).fit(test.train), test, plan.ks).views[rule.view]
        values.append(result.values[rule.metric][:, place])
    comparison = compare(values[0], values[1], draws=plan.draws, seed=experiment.seed)
    tested = Tested(
        f"{rule.metric}@{plan.primary_k}, {rule.view} products",
        float(values[0].mean()),
        float(values[1].mean()),
        comparison.difference,
        comparison.low,
        comparison.high,
        comparison.p_value,
        int(values[0].size),
        sum(trial.state.is_finished() for trial in study.trials),
        best.number,
    )
    study.set_user_attr(TESTED, asdict(tested))
    study.set_user_attr(TEST_PERIOD, period)
    return tested, False


def best_of(trials: Sequence[Tried]) -> Tried:
    """The best trial that was judged on every period. Raises Invalid when there is none."""
    whole = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    if not whole:
        problems = {trial.problem for trial in trials if trial.problem}
        raise Invalid(f"no trial came to an end: {'; '.join(sorted(problems)) or 'all were given up'}")
    return max(whole, key=lambda trial: (trial.value or 0.0, -trial.number))


def _objective(trial: Trial, experiment: Experiment, folds: Sequence[Split], tune: TunePlan) -> float:
    import optuna

    started = perf_counter()
    point = {name: dimension.suggest(trial, name) for name, dimension in tune.space.items()}
    wanted = _with(experiment, point)
    trial.set_user_attr(PARAMETERS, point)
    rule, plan = experiment.promotion, experiment.evaluation
    values: list[float] = []
    try:
        for step, split in enumerate(folds):
            result = evaluate(create(wanted).fit(split.train), split, (plan.primary_k,)).views[rule.view]
            values.append(float(result.values[rule.metric][:, 0].mean()))
            trial.set_user_attr(PERIODS, values)
            trial.report(float(np.mean(values)), step)
            if step + 1 < len(folds) and trial.should_prune():
                raise optuna.TrialPruned
    except RecsysError as error:
        # such as a memory forecast that does not fit: these values can't be had here, others can
        trial.set_user_attr("problem", error.message)
        raise optuna.TrialPruned from error
    finally:
        trial.set_user_attr(SECONDS, round(perf_counter() - started, 3))
    return float(np.mean(values))


def _own_point(experiment: Experiment, tune: TunePlan) -> dict[str, Any]:
    """The experiment's own values, where the space holds them; the sampler chooses the others."""
    own = asdict(create(experiment).parameters)
    return {name: own[name] for name, dimension in tune.space.items() if dimension.holds(own.get(name))}


def _tried(trial: Any) -> Tried:
    problem = trial.user_attrs.get("problem")
    state = (
        "failed" if problem else {"PRUNED": "given up", "FAIL": "failed"}.get(trial.state.name, "complete")
    )
    periods = [float(value) for value in trial.user_attrs.get(PERIODS, [])]
    return Tried(
        trial.number,
        state,
        dict(trial.user_attrs.get(PARAMETERS, trial.params)),
        trial.value if state == "complete" else (float(np.mean(periods)) if periods else None),
        periods,
        float(trial.user_attrs.get(SECONDS, 0.0)),
        problem,
    )


def _with(experiment: Experiment, point: dict[str, Any]) -> Experiment:
    return experiment.model_copy(update={"parameters": {**experiment.parameters, **point}})


def _plan(experiment: Experiment) -> TunePlan:
    if experiment.tune is None:
        raise Invalid(
            f"experiment {experiment.name}: its file has no [tune] section; add one, such as "
            "[tune.space.factors] with low = 16 and high = 256"
        )
    return experiment.tune
