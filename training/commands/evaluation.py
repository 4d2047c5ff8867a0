"""`recsys train evaluate|compare|curves`: registered models on any test, two of them against each other."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from recsys.errors import Invalid, NotFound
from training.commands.console import AsJson, print_json, registered
from training.commands.evaluation_output import (
    examination_json,
    show_curve,
    show_duel,
    show_how,
    show_splits,
    show_trial,
    splits_json,
)

if TYPE_CHECKING:
    from training.evaluation.split_plan import SplitPlan
    from training.experiment import Experiment
    from training.fit.evaluate_registered import Examination

__all__ = ["app"]

app = typer.Typer()


class SplitKind(StrEnum):
    """What is held out; the words of `training.evaluation.splits.KINDS`."""

    TIME = "time"
    ROLLING = "rolling"
    LAST_N = "last-n"
    COLD_USERS = "cold-users"
    COLD_ITEMS = "cold-items"


class ViewName(StrEnum):
    """Which products count as right."""

    ALL = "all"
    NEW = "new"


SplitOption = Annotated[SplitKind, typer.Option("--split", help="What is held out of training.")]
KsOption = Annotated[
    list[int] | None, typer.Option("--k", min=1, max=1000, help="A list length; repeat for several.")
]
DaysOption = Annotated[
    float | None, typer.Option(help="Length of the test period; by default, a length that suits the data.")
]
FoldsOption = Annotated[int, typer.Option(help="Number of periods (rolling).")]
LastOption = Annotated[int, typer.Option(help="Number of each user's last events (last-n).")]
ShareOption = Annotated[float, typer.Option(help="Share of users or products hidden (cold-…).")]
GivenOption = Annotated[int, typer.Option(help="Number of known events of a cold user.")]
DrawsOption = Annotated[
    int, typer.Option(min=100, max=100_000, help="Resamples for intervals and paired tests.")
]
SeedOption = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Seed of resamples and of what is hidden.")
]
DEFAULT_KS = (5, 10, 20, 50, 100)


@app.command()
def evaluate(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of registered models.", metavar="NAME...")
    ] = None,
    served: Annotated[
        bool, typer.Option("--served", help="Measure the served lists of the active model.")
    ] = False,
    api: Annotated[
        str | None, typer.Option(help="With --served: also ask this running API, for 500 users at most.")
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help="With --api: a file with its key; or set RECSYS_API_KEY.", dir_okay=False),
    ] = None,
    split: SplitOption = SplitKind.TIME,
    k: KsOption = None,
    test_days: DaysOption = None,
    folds: FoldsOption = 3,
    last: LastOption = 5,
    share: ShareOption = 0.2,
    given: GivenOption = 5,
    draws: DrawsOption = 1000,
    seed: SeedOption = 0,
    as_json: AsJson = False,
) -> None:
    """Test registered models on the current dataset; a model that has seen the test is refitted first.

    Several periods (rolling) are reported as one, segments too: each user counts once, with their mean.

    With --served, the successes since the model learned judge what a shop is served, beside the model's own
    lists: the stored lists, the documented table and, with --api, the answers. Other options of a split have
    no meaning then, but --test-days ends the period early.

    Example: recsys train evaluate als-v3 popularity-v1 --split rolling --k 10 --k 20
    Example: recsys train evaluate --served --api http://127.0.0.1:8000
    """
    if served:
        _measure_served(names or [], api, api_key_file, test_days, draws, seed, as_json)
        return
    if not names:
        raise Invalid("name the models to test, or measure what is served with --served")
    if api is not None or api_key_file is not None:
        raise Invalid("--api and --api-key-file go with --served")
    ks, primary = _lengths(k)
    found = _examined(
        names, split, ks, primary, _plan(test_days, folds, last, share, given, seed), draws, seed
    )
    if as_json:
        print_json(examination_json(found, ks, draws, seed))
        return
    console = Console()
    show_splits(found)
    for trial in found.trials:
        show_trial(trial, ks, primary, draws, seed)
    console.print(
        "Intervals are 95%, by resampling users. To tell two models apart: recsys train compare A B",
        style="dim",
        highlight=False,
    )


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="Name of a registered model.")],
    b: Annotated[str, typer.Argument(help="Name of another one.")],
    split: SplitOption = SplitKind.TIME,
    k: Annotated[int, typer.Option(min=1, max=1000, help="List length that decides.")] = 20,
    metric: Annotated[str, typer.Option(help="Metric that decides.")] = "ndcg",
    view: Annotated[ViewName, typer.Option(help="Products that count.")] = ViewName.ALL,
    test_days: DaysOption = None,
    folds: FoldsOption = 3,
    last: LastOption = 5,
    share: ShareOption = 0.2,
    given: GivenOption = 5,
    # below a thousand, chance alone leaves a p-value that no adjusting for some thirty rows brings under 5%
    draws: Annotated[
        int, typer.Option(min=1000, max=100_000, help="Resamples for intervals and paired tests.")
    ] = 2000,
    seed: SeedOption = 0,
    as_json: AsJson = False,
) -> None:
    """Decide which of two registered models is better on the same users, or that it is not significant.

    Example: recsys train compare als-v3 item_knn-v1 --split last-n --k 10
    """
    from training.evaluation.compare import compare_evaluations

    plan = _plan(test_days, folds, last, share, given, seed)
    found = _examined([a, b], split, (k,), k, plan, draws, seed)
    first, second = found.trials
    duel = compare_evaluations(
        a,
        first.evaluation,
        b,
        second.evaluation,
        metric=metric,
        view=view.value,
        k=k,
        draws=draws,
        seed=seed,
    )
    if as_json:
        from training.evaluation.significance import DETECTABLE
        from training.evaluation.summary import plain

        fitted = {trial.name: {"how": trial.how, "reason": trial.reason} for trial in found.trials}
        print_json(
            {
                "dataset": found.dataset,
                "splits": splits_json(found),
                "models": fitted,
                **plain(duel),
                "smallest_is": DETECTABLE,
            }
        )
        return
    show_splits(found)
    for trial in found.trials:
        show_how(trial)
    show_duel(duel)


@app.command()
def curves(
    source: Annotated[
        str,
        typer.Argument(
            help="A registered model, or an experiment (file or name).", metavar="NAME|EXPERIMENT"
        ),
    ],
    share: Annotated[
        list[float] | None, typer.Option(help="A share of the training data; repeat for several.")
    ] = None,
    age: Annotated[
        list[float] | None, typer.Option(help="Days between training and test; repeat for several.")
    ] = None,
    test_days: Annotated[
        float | None, typer.Option(min=0.01, help="Length of the test period instead of the experiment's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit an experiment on growing and on ever older data, to see the value of more and of newer data.

    Example: recsys train curves als-v3 --share 0.25 --share 1 --age 0 --age 28
    """
    from training.evaluation.summary import plain
    from training.fit.evaluate_registered import open_dataset
    from training.fit.training_data import newest_interactions
    from training.progress import Steps
    from training.studies.learning_curves import AGES, SHARES, data_curve, staleness_curve

    experiment = _experiment(source)
    if test_days is not None:
        planned = experiment.split.model_copy(update={"test_days": test_days})
        experiment = experiment.model_copy(update={"split": planned})
    steps = Steps(Console(stderr=True))
    dataset = newest_interactions(open_dataset(), [experiment.algorithm], steps)
    found = [
        data_curve(experiment, dataset, steps, share or SHARES),
        staleness_curve(experiment, dataset, steps, age if age else AGES),
    ]
    if as_json:
        print_json({"experiment": experiment.name, "dataset": dataset.fingerprint, "curves": plain(found)})
        return
    for curve in found:
        show_curve(curve)


def _measure_served(
    names: list[str],
    api: str | None,
    key_file: Path | None,
    days: float | None,
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    from training.commands.served_output import served_json, show_served
    from training.fit.evaluate_registered import open_dataset
    from training.progress import Steps
    from training.served_evaluation.evaluate import measure_served

    if len(names) > 1:
        raise Invalid("one model serves; name it, or none, with --served")
    found = measure_served(
        open_dataset(),
        name=names[0] if names else None,
        api=api,
        key=_key(key_file),
        days=days,
        draws=draws,
        seed=seed,
        steps=Steps(Console(stderr=True)),
    )
    if as_json:
        print_json(served_json(found, draws, seed))
    else:
        show_served(found)


def _key(file: Path | None) -> str | None:
    """The API key of the file, else of the environment."""
    if file is None:
        return os.environ.get("RECSYS_API_KEY") or None
    try:
        return file.read_text().strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"the key file {file} cannot be read: {error}") from error


def _experiment(source: str) -> Experiment:
    from training.experiment import load
    from training.fit.evaluate_registered import experiment_of

    try:
        return load(source)
    except NotFound as no_file:
        try:
            return experiment_of(registered(source))
        except NotFound as no_model:
            raise NotFound(f"{no_file.message}; and {no_model.message}") from no_model


def _lengths(given: list[int] | None) -> tuple[tuple[int, ...], int]:
    """All list lengths, rising, and the primary one: the first given, or 20."""
    if not given:
        return DEFAULT_KS, 20
    return tuple(sorted(set(given))), given[0]


def _plan(test_days: float | None, folds: int, last: int, share: float, given: int, seed: int) -> SplitPlan:
    from training.evaluation.split_plan import SplitPlan

    return SplitPlan(test_days=test_days, folds=folds, last=last, share=share, given=given, seed=seed)


def _examined(
    names: list[str],
    split: SplitKind,
    ks: tuple[int, ...],
    k: int,
    plan: SplitPlan,
    draws: int,
    seed: int,
) -> Examination:
    from training.fit.evaluate_registered import examine, open_dataset
    from training.progress import Steps

    if len(set(names)) < len(names):
        raise Invalid(f"a model is named twice ({', '.join(names)}); name each once")
    steps = Steps(Console(stderr=True))
    return examine(
        names, open_dataset(), kind=split.value, plan=plan, ks=ks, k=k, draws=draws, seed=seed, steps=steps
    )
