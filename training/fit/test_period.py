"""The test period of a training: as the experiment says, or as the data allow, or none."""

from __future__ import annotations

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from recsys.errors import Invalid
from training.evaluation.splits import Split, time_split, untested
from training.experiment import Experiment, SplitSettings

__all__ = ["describe", "hold_out", "planned_split"]


def planned_split(dataset: Dataset, plan: SplitSettings) -> Split:
    """The time split of `dataset` that `[split]` of an experiment describes; raises as `time_split`."""
    return time_split(
        dataset,
        plan.test_days,
        min_events=plan.min_events,
        positive=plan.positive,
        most_users=plan.most_users,
    )


def hold_out(dataset: Dataset, experiment: Experiment) -> Split:
    """The split that the experiments of a run share.

    Where `[split] test_days` is not given and the data cannot be tested on, nobody is asked and
    `Split.problem` says why.

    Raises
    ------
    Invalid
        For test days that do not fit the data, and for a view of the promotion rule in which they leave
        nobody to judge.
    """
    plan, view = experiment.split, experiment.promotion.view
    try:
        split = planned_split(dataset, plan)
        if split.folds[view].users.size == 0:
            raise Invalid(
                f"no user took up a product of the view {view!r} in the test period, so [promotion] view = "
                f'"{view}" has nothing to judge; use a longer [split] test_days or the other view'
            )
    except Invalid as error:
        if plan.test_days is not None:
            raise
        return untested(dataset, error.message)
    return split


def describe(split: Split) -> str:
    """Length of the test period, protocol, and how many can be judged."""
    days = (split.until - split.cutoff) / MICROSECONDS_PER_DAY
    return (
        f"{days:.3g} days ({split.protocol}), {split.users['kept']:,} test users, "
        f"{split.events['kept']:,} test events"
    )
