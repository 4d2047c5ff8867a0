"""The report of six models for 30,000 test users, beside a floor of the same run; wanted: under 20 s.

The floor is the one product that no bootstrap can do without: how often each draw holds each user, times
every figure of every model (float32). The ratio is what drawing, segments, tests, plots and the page cost
beyond it. Both are processor time, which other work on the machine does not lengthen.

    nice -n 10 python -m tests.performance.bench_report
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from models.ranking.calibration import Calibration
from tests.performance.bench_metrics import lists, split_of
from training.evaluation.evaluator import Evaluation, figures_of
from training.evaluation.splits import VIEWS, Fold, Split
from training.experiment import Experiment
from training.fit.trainer import Judged
from training.promotion.rule import decide
from training.report.builder import Version, build_report
from training.report.document import EvaluationReport
from training.report.page import write_report

WANTED_SECONDS = 20.0
ALGORITHMS = ("tifu_knn", "ease", "als", "item_knn", "content", "popularity")


def judged_model(split: Split, algorithm: str, quality: float, seed: int) -> Judged:
    """Made-up lists, of which a share `quality` is given a right product; nothing is fitted."""
    experiment = Experiment.model_validate({"name": algorithm, "algorithm": algorithm, "seed": seed})
    evaluation = Evaluation(
        experiment.evaluation.ks,
        {
            view: figures_of(
                split.folds[view],
                split,
                *made_up_lists(split.folds[view], split, quality, seed),
                experiment.evaluation.ks,
            )
            for view in VIEWS
        },
    )
    return Judged(experiment, "exact", {}, evaluation, Calibration((0.0,), (0.0,)), {}, 1.0, 1.0, 1000.0)


def made_up_lists(
    fold: Fold, split: Split, quality: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Product ids int64 and scores float32, both (users, 100); some places hold what the user took up."""
    rng = np.random.default_rng(seed)
    columns = lists(fold.users.size, len(split.train.items), seed)
    right = fold.relevant.indices[fold.relevant.indptr[:-1]]
    place = np.minimum(rng.geometric(0.15, fold.users.size) - 1, 99)
    lucky = (rng.random(fold.users.size) < quality) & ~(columns == right[:, None]).any(axis=1)
    columns[lucky, place[lucky]] = right[lucky]
    scores = np.sort(rng.random(columns.shape, dtype=np.float32), axis=1)[:, ::-1]
    return split.train.items.ids[columns], np.ascontiguousarray(scores)


def build(split: Split, models: list[Judged], folder: Path) -> EvaluationReport:
    """The document, the page and its twin, as `recsys train run` makes them."""
    rule, plan = models[0].experiment.promotion, models[0].experiment.evaluation
    named = {f"{one.experiment.name}-v1": one for one in models}
    decision = decide(
        {name: one.primary() for name, one in named.items()},
        None,
        rule,
        figures={name: one.gate() for name, one in named.items()},
        k=plan.primary_k,
        draws=plan.draws,
        seed=0,
    )
    report = build_report(
        run="bench",
        dataset=split.train,
        split=split,
        versions=[Version(name, 1, one, "0" * 64, 1.0, 1.0) for name, one in named.items()],
        decision=decision,
        champion=None,
        examples=[],
        command="bench",
    )
    write_report(report, folder)
    return report


def floor_seconds(users: int, draws: int, figures: int) -> float:
    """One product of draws × users by users × figures for each model and view, float32."""
    counts, values = np.ones((draws, users), np.float32), np.ones((users, figures), np.float32)
    started = time.process_time()
    for _ in range(len(ALGORITHMS) * len(VIEWS)):
        counts @ values
    return time.process_time() - started


def figures_of_view(report: EvaluationReport) -> int:
    """How many figures with an interval one model has in one view."""
    section = report.models[0].views["all"]
    by_k = len(section.metrics) + len(section.beyond)
    return by_k * len(report.ks) + sum(len(one.figures) for one in section.segments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=30_000)
    parser.add_argument("--items", type=int, default=5_000)
    asked = parser.parse_args()
    console = Console()
    split = split_of(asked.users, asked.items)
    split.facts  # noqa: B018 (judging has computed it before any report is built)
    models = [judged_model(split, name, 0.5 / (number + 1), number) for number, name in enumerate(ALGORITHMS)]
    with tempfile.TemporaryDirectory() as folder:
        started, worked = time.perf_counter(), time.process_time()
        report = build(split, models, Path(folder))
        seconds, work = time.perf_counter() - started, time.process_time() - worked
    users = report.models[0].views["all"].users
    floor = floor_seconds(users, report.reproduction.draws, figures_of_view(report))
    console.print(
        f"{len(models)} models, 2 views, {users:,} users: {seconds:.1f} s "
        f"(wanted: under {WANTED_SECONDS:g}), {work:.1f} s of processor time; "
        f"floor {floor:.2f} s; ratio {work / floor:.1f}"
    )


if __name__ == "__main__":
    main()
