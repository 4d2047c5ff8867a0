"""A hybrid in the report: its members, weights and the rule of each task, and why."""

from __future__ import annotations

import re

import pytest

from models.hybrid.hybrid import Hybrid
from tests.models.shops import groceries
from training.experiment import Experiment
from training.fit.trainer import create
from training.report.document import EvaluationReport
from training.report.hybrid_section import hybrid_part
from training.report.page import render
from training.report.sections import HybridMember
from training.report.sections import HybridSection as HybridPart

MEMBERS = {
    "knn": {"algorithm": "item_knn", "parameters": {"neighbours": 20}},
    "all": {"algorithm": "popularity"},
}


@pytest.fixture(scope="module")
def part() -> HybridPart:
    parameters = {"members": MEMBERS, "trees": 5}
    experiment = {"name": "mixed", "algorithm": "hybrid", "parameters": parameters}
    model = create(Experiment.model_validate(experiment)).fit(groceries())
    assert isinstance(model, Hybrid)
    found = hybrid_part(model)
    assert found is not None
    for rule in found.rules:
        stage = model.stages_[rule.task]
        assert (rule.rule, [member.name for member in rule.members]) == (stage.kind, list(stage.members))
        assert rule.reason == model.reasons_[rule.task]
        assert rule.rehearsal == model.figures_[rule.task]
    return found


def test_every_task_has_its_rule(part: HybridPart) -> None:
    assert [rule.task for rule in part.rules] == ["any", "new"]
    for rule in part.rules:
        assert rule.reason
        assert {member.algorithm for member in rule.members} <= {"item_knn", "popularity"}
        weights = [member.weight for member in rule.members if member.weight is not None]
        assert bool(weights) == (rule.rule == "blend")
        assert set(MEMBERS) <= set(rule.rehearsal)


def test_the_page_shows_it(report: EvaluationReport, part: HybridPart) -> None:
    members = [
        HybridMember(name="knn", algorithm="item_knn", weight=0.7),
        HybridMember(name="all", algorithm="popularity", weight=0.3),
    ]
    blend = part.rules[0].model_copy(update={"rule": "blend", "members": members})
    shown = part.model_copy(update={"rules": [blend, part.rules[1]], "left_out": {"als": "too <slow>"}})
    first = report.models[0].model_copy(update={"hybrid": shown})
    changed = report.model_copy(update={"models": [first, *report.models[1:]]})
    assert EvaluationReport.model_validate_json(changed.model_dump_json()) == changed
    page = render(changed)
    assert f"What {first.name} is made of" in page
    assert "made of" not in render(report)
    text = re.sub(r"<[^>]+>", " ", page)
    for passage in ("weighted scores", "70%", "30%", "too &lt;slow&gt;", "NDCG in the backtest"):
        assert passage in text
