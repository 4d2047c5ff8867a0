"""Where a search is kept (SQLite or PostgreSQL), so that it goes on after whatever stopped it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from recsys.database.addresses import direct_url
from recsys.database.session import unit_of_work
from recsys.errors import Invalid, Unavailable
from training.experiment import Experiment
from training.tuning.plan import TunePlan

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

__all__ = ["SCHEMA", "TEST_PERIOD", "looks_elsewhere", "open_study"]

TEST_PERIOD = "test_period"
"""Attribute of a search that looked at the test: at which."""

SCHEMA = "tuning"
"""Where `--storage postgresql` keeps searches: Optuna migrates its tables itself, apart from ours."""


@contextmanager
def open_study(
    storage: str | None, folder: Path, name: str, experiment: Experiment, tune: TunePlan
) -> Iterator[tuple[Study, RDBStorage]]:
    """The search of that name and its storage; trials that a killed process left count as failed.

    Parameters
    ----------
    storage
        None for SQLite in `folder`, `postgresql` for the shop's own database, else a URL of SQLAlchemy.
    folder
        Of the SQLite file.

    Yields
    ------
    study : Study
        The search.
    kept : RDBStorage
        Its storage, closed at the end.

    Raises
    ------
    Invalid
        For an address that can't be one.
    Unavailable
        When the storage can't be reached.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        kept = _storage(storage, folder)
    except (ArgumentError, ImportError) as error:
        raise Invalid(f"--storage: not an address of SQLAlchemy: {type(error).__name__}") from error
    except SQLAlchemyError as error:
        raise Unavailable(f"the storage of searches can't be reached: {type(error).__name__}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(
                storage=kept,
                study_name=name,
                load_if_exists=True,
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0),
            )
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
        # a search that goes on draws other values than it began with, the same ones each time
        seed = experiment.seed + len(study.trials)
        study.sampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if tune.sampler == "random"
            else optuna.samplers.TPESampler(seed=seed, n_startup_trials=8)
        )
        yield study, kept
    finally:
        kept.remove_session()
        kept.engine.dispose()


def looks_elsewhere(kept: RDBStorage, study: Study, period: str) -> int:
    """How many other searches of this storage looked at the same test period."""
    import optuna

    return sum(
        summary.study_name != study.study_name and summary.user_attrs.get(TEST_PERIOD) == period
        for summary in optuna.get_all_study_summaries(storage=kept, include_best_trial=False)
    )


def _storage(given: str | None, folder: Path) -> RDBStorage:
    from optuna.storages import RDBStorage

    if given is None:
        folder.mkdir(parents=True, exist_ok=True)
        return RDBStorage(f"sqlite:///{folder / 'studies.db'}")
    if given != "postgresql":
        return RDBStorage(given)
    with unit_of_work() as session:
        session.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    options = {"connect_args": {"options": f"-c search_path={SCHEMA}"}}
    return RDBStorage(direct_url(), engine_kwargs=options)
