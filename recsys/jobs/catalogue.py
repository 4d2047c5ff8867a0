"""The jobs there are: existing commands, each under a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["JOBS", "JOB_NAMES", "JobDefinition", "job_for_remedy"]


@dataclass(frozen=True)
class JobDefinition:
    """A command under a name.

    Attributes
    ----------
    arguments
        Of `recsys`.
    remedies
        The commands that this job does, as `recsys doctor` gives them.
    """

    name: str
    title: str
    purpose: str
    arguments: Sequence[str]
    remedies: Sequence[str] = ()

    @property
    def command(self) -> str:
        """As it is typed."""
        return " ".join(("recsys", *self.arguments))


_ALL = (
    JobDefinition(
        "train",
        "Train models",
        "Builds a new snapshot of what customers did, trains all models on it, judges them on the last weeks "
        "and lets the best one serve where the rule allows it.",
        ("train", "run", "--all", "--if-needed", "--rebuild"),
        ("recsys train run",),
    ),
    JobDefinition(
        "score",
        "Make stored lists",
        "Ranks each active customer's list with the model that serves and puts the new lists live: of all "
        "customers for a new model and twice a week, in between of those who did something.",
        ("serve", "score", "--if-needed"),
        ("recsys serve score",),
    ),
    JobDefinition(
        "measure",
        "Measure recommendations",
        "Counts clicks, purchases and revenue of what was displayed, and judges the running experiment.",
        ("train", "measure"),
        ("recsys train live", "recsys train measure"),
    ),
    JobDefinition(
        "features",
        "Build a snapshot",
        "Reads interactions, preferences and the catalogue into the snapshot that models learn from.",
        ("features", "build"),
        ("recsys features build",),
    ),
    JobDefinition(
        "preferences",
        "Infer preferences",
        "Infers which categories, brands and prices each customer likes, from the current snapshot.",
        ("features", "preferences"),
        ("recsys features preferences",),
    ),
    JobDefinition(
        "rollup",
        "Compute daily figures",
        "Counts visits, sales and product figures of yesterday and today.",
        ("analytics", "rollup"),
        ("recsys analytics rollup",),
    ),
    JobDefinition(
        "reindex",
        "Rebuild the search index",
        "Builds the whole search index beside the current one and exchanges them.",
        ("search", "reindex"),
        ("recsys search reindex",),
    ),
    JobDefinition(
        "abandoned-carts",
        "Remind of carts",
        "Stores carts that were left and publishes an event for each, from which reminders are sent.",
        ("orders", "abandoned-carts"),
    ),
    JobDefinition(
        "notifications",
        "Send messages",
        "Sends the e-mail and text messages that are due.",
        ("notifications", "send"),
    ),
    JobDefinition(
        "retention",
        "Delete what is old",
        "Deletes rows that are older than the settings keep them, and models that were replaced after an "
        "erasure.",
        ("privacy", "retention"),
        ("recsys privacy retention",),
    ),
    JobDefinition(
        "segments",
        "Refresh segments",
        "Finds the members of stored segments again, for the business rules that are for them.",
        ("segments", "stored", "refresh"),
    ),
    JobDefinition(
        "evaluate-items",
        "Judge similar products",
        "Judges the lists of similar products and of products bought together on what customers did later.",
        ("train", "evaluate-items"),
    ),
)
JOBS: Mapping[str, JobDefinition] = MappingProxyType({job.name: job for job in _ALL})
"""Every job by its name."""
JOB_NAMES: tuple[str, ...] = tuple(JOBS)


def job_for_remedy(remedy: str | None) -> JobDefinition | None:
    """The job that does what a finding of `recsys doctor` advises; None where a person has to."""
    if remedy is None:
        return None
    for job in _ALL:
        # the first job that does all of it: training builds the snapshot, too
        if any(command in remedy for command in job.remedies):
            return job
    return None
