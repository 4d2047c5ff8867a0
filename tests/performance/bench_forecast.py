"""What each algorithm costs on The Complete Journey: the reference rates of `training.fit.forecast`.

Processor seconds with one BLAS thread, so that other work on the machine does not lengthen them; fitted on
weeks 1 to 44, judged on weeks 45 to 48. Algorithms take the parameters of the experiment of the same name,
else their defaults. Of the hybrid the line shows what it costs beyond the fits of its members, once
for the one window and once for those chosen.

    OPENBLAS_NUM_THREADS=1 python -m tests.performance.bench_forecast [ALGORITHM…]
"""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from models.base import Recommender
from models.factory import algorithms
from models.hybrid.hybrid import Hybrid
from models.hybrid.parameters import MEMBERS
from models.shared.fitted_members import FittedMembers
from models.shared.parallel import one_blas_thread
from training.evaluation.evaluator import evaluate
from training.evaluation.examples import choose_users, recommend_examples
from training.evaluation.splits import Split
from training.experiment import Experiment, load, shipped
from training.fit.calibration import outcomes
from training.fit.forecast import DataSize
from training.fit.trainer import create
from training.paper_benchmarks.complete_journey_data import folder_of, read


def measure(experiment: Experiment, split: Split) -> tuple[float, float, Recommender]:
    """Processor seconds of the fit and of judging, as in `training.fit.trainer.judge`, and the model."""
    began = time.process_time()
    model = FittedMembers(split.train).fit(create(experiment), split.train)
    fitted = time.process_time()
    evaluation = evaluate(model, split, experiment.evaluation.ks)
    outcomes(model, evaluation, split, experiment.seed)
    recommend_examples(model, split, choose_users(split))
    return fitted - began, time.process_time() - fitted, model


def main() -> None:
    """Print one line of the table per algorithm, and the size of the data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithms", nargs="*")
    named = parser.parse_args().algorithms or [*sorted(set(algorithms()) - {"hybrid"}), "hybrid"]
    console = Console(highlight=False, soft_wrap=True, markup=False)
    split = read(folder_of(None)).split
    assert split.train.fingerprint  # belongs to the data, whatever is fitted on it
    console.print(repr(DataSize.of(split.train)))
    fits: dict[str, float] = {}
    with one_blas_thread():
        for name in dict.fromkeys([*(MEMBERS if "hybrid" in named else ()), *named]):
            known = name in shipped()
            experiment = load(name) if known else Experiment(name=name, algorithm=name)
            fit, judge, model = measure(experiment, split)
            fits[name] = fit
            if isinstance(model, Hybrid):
                # one window has users enough here (`training.fit.forecast.JUDGED_SHARE`)
                fit -= sum(fits[member] for member in MEMBERS)
                fit -= sum(fits[member] for member in model.panel_.members)
            console.print(f'    "{name}": ReferenceRate({fit:.2f}, {judge:.2f}),')


if __name__ == "__main__":
    main()
