"""A report of two models on the small shop, made once for all who look at it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from features.dataset import Dataset
from tests.training.shops import HOSTILE, dataset_of, purchases
from training.evaluation.examples import choose_users
from training.evaluation.splits import time_split
from training.experiment import Experiment
from training.fit.trainer import judge
from training.progress import Steps
from training.promotion.rule import decide
from training.report.builder import Version, build_report
from training.report.document import EvaluationReport

PLAN = {
    "split": {"test_days": 12},
    "evaluation": {"ks": [1, 5, 10], "primary_k": 5, "draws": 100},
}


def _named(data: Dataset) -> Dataset:
    names = [HOSTILE if i % 5 == 0 else f"Tom & Jerry's {i}" for i in range(len(data.items))]
    return replace(data, item_features=replace(data.item_features, names=names))


@pytest.fixture(scope="session")
def report() -> EvaluationReport:
    """Popularity and item-kNN judged on the small shop, whose products bear names that try to be markup."""
    data = _named(dataset_of([(user, product, day, "purchase") for user, product, day in purchases()]))
    split = time_split(data, 12)
    examples = choose_users(split)
    experiments = [
        Experiment.model_validate({"name": name, "algorithm": name, "parameters": parameters, **PLAN})
        for name, parameters in (("popularity", {}), ("item_knn", {"neighbours": 20}))
    ]
    judged = {f"{one.name}-v1": judge(one, split, examples, Steps()) for one in experiments}
    rule = experiments[0].promotion
    decision = decide(
        {name: one.primary() for name, one in judged.items()},
        None,
        rule,
        figures={name: one.gate() for name, one in judged.items()},
        k=5,
        draws=100,
        seed=0,
    )
    return build_report(
        run="r",
        dataset=data,
        split=split,
        versions=[Version(name, 1, one, "c" * 64, 0.1, 0.2) for name, one in judged.items()],
        decision=decision,
        champion=None,
        examples=examples,
        command="recsys train run --all",
    )
