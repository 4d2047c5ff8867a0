"""From an experiment's file to the file of the best parameters found: forecast, search, one test, result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from rich.console import Console

from recsys.errors import Invalid, NotFound
from recsys.settings import get_settings
from training.experiment import Experiment, load
from training.fit.trainer import create
from training.fit.training_data import newest_interactions
from training.lock import tuning_lock
from training.progress import Steps
from training.tuning.files import experiment_toml
from training.tuning.plan import TunePlan
from training.tuning.search import (
    Forecast,
    Tried,
    TuningResult,
    best_of,
    folds_of,
    forecast,
    search,
    test_once,
)
from training.tuning.study import looks_elsewhere, open_study

__all__ = ["Tuning", "run"]


@dataclass(frozen=True)
class Tuning:
    """What a search was forecast to take, what it found, and where the best experiment's file is."""

    forecast: Forecast
    found: TuningResult
    file: Path


def run(
    source: str,
    *,
    minutes: float | None,
    trials: int | None,
    storage: str | None,
    look: bool,
    console: Console,
) -> Tuning:
    """Search on the current dataset snapshot.

    Parameters
    ----------
    source
        An experiment's file, or the name of a shipped one.
    minutes, trials
        In place of those of the experiment's `[tune]`.
    storage
        As for `open_study`.
    look
        Whether to look at the test period.

    Raises
    ------
    Invalid
        For a file without [tune] or with a space that the algorithm doesn't know, and where no trial comes to
        an end.
    NotFound
        Without a snapshot, or for a source that is neither a file nor a name.
    Conflict
        While the same search runs already.
    """
    from features.build.builder import current

    experiment = load(source)
    if experiment.tune is None:
        raise Invalid(f"{source}: it has no [tune] section; `recsys train tune --help` shows what to add")
    given = {"trials": trials, "minutes": minutes}
    tune = experiment.tune.model_copy(update={name: one for name, one in given.items() if one is not None})
    _check_space(source, experiment.parameters, tune, create(experiment).parameters)
    settings, steps = get_settings(), Steps(console)
    folder = settings.var / "tuning"
    try:
        dataset = current(settings)
    except NotFound as error:
        raise NotFound(f"{error.message}; build one with: recsys features build") from error
    dataset = newest_interactions(dataset, [experiment.algorithm], steps)
    name = f"{experiment.name}-{dataset.fingerprint[:12]}-{_key(experiment, tune)}"
    with tuning_lock(name), open_study(storage, folder, name, experiment, tune) as (study, kept):
        test, folds = folds_of(dataset, experiment)
        done = sum(trial.state.is_finished() for trial in study.trials)
        if done:
            steps.say(f"{name}: {done} trials are there already; going on")
        until = monotonic() + tune.minutes * 60
        with steps.step("time one trial" if not done else "look at the earlier trials"):
            expected = forecast(study, experiment, folds, tune)
        steps.say(_described(expected))
        with steps.step("search", total=expected.trials_left) as searching:

            def seen(trial: Tried) -> None:
                searching.advance()
                searching.note = f"trial {trial.number}: {trial.state}"

            tried = search(study, experiment, folds, tune, until=until, seen=seen)
            best = best_of(tried)
            searching.note = f"{len(tried)} trials, best {best.value:.4f} (trial {best.number})"
        tested, before = None, False
        period = f"{dataset.fingerprint[:12]}-{test.cutoff}"
        if look:
            with steps.step("look at the test, once"):
                tested, before = test_once(study, experiment, best, test, period)
        elsewhere = looks_elsewhere(kept, study, period)
    winner = experiment.model_copy(update={"parameters": {**experiment.parameters, **best.parameters}})
    file = folder / name / f"{experiment.name}.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    comment = (
        f"Found by recsys train tune: trial {best.number} of {len(tried)}, study {name}.\n"
        f"{experiment.promotion.metric}@{experiment.evaluation.primary_k} on {len(folds)} validation "
        f"periods: {best.value:.4f}."
    )
    file.write_text(experiment_toml(winner, comment), encoding="utf-8")
    return Tuning(expected, TuningResult(name, tried, best, tested, before, elsewhere), file)


def _check_space(source: str, own: dict[str, object], tune: TunePlan, parameters: object) -> None:
    known = sorted(name for name in vars(parameters) if name != "seed")
    unknown = sorted(set(tune.space) - set(known))
    if unknown:
        raise Invalid(
            f"{source}: [tune.space] names {', '.join(unknown)}, which this algorithm does not know; "
            f"known: {', '.join(known)}"
        )


def _key(experiment: Experiment, tune: TunePlan) -> str:
    judged = {
        "recipe": experiment.recipe,
        "split": experiment.split.model_dump(mode="json"),
        "metric": experiment.promotion.metric,
        "view": experiment.promotion.view,
        "k": experiment.evaluation.primary_k,
    }
    return tune.key(**judged)


def _described(expected: Forecast) -> str:
    gib = 2**30
    return (
        f"Forecast: {expected.trials_left} trials of {expected.trial_seconds:.1f} s, so "
        f"{expected.seconds:.0f} s at most (budget {expected.budget_seconds:.0f} s); a fit takes "
        f"{expected.bytes / gib:.2f} GiB, and {expected.free / gib:.1f} GiB are free."
    )
