"""The gate as a whole: `train` on a small shop promotes the better and holds the tied, worse and unfit."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.registry import registry
from recsys.cli import run
from recsys.database.session import unit_of_work
from tests.support.shop import Shop
from tests.training.shops import fill_shop
from training.experiment import load_all
from training.pipeline import TrainingOutcome, train
from training.progress import Steps
from training.report.document import EvaluationReport
from training.tracking.runs import Tracked

PLAN = "[split]\ntest_days = 12\n[evaluation]\nks = [5, 10]\nprimary_k = 10\ndraws = 200\n"


def _train(folder: Path, algorithm: str, parameters: str = "", promotion: str = "") -> TrainingOutcome:
    path = folder / f"{algorithm}.toml"
    path.write_text(
        f'name = "{algorithm}"\nalgorithm = "{algorithm}"\n[parameters]\n{parameters}\n'
        f"{PLAN}[promotion]\nmin_users = 30\n{promotion}\n"
    )
    return train(load_all([str(path)]), command="", actor="tester", steps=Steps())


def _report(outcome: TrainingOutcome) -> EvaluationReport:
    assert outcome.report is not None
    return outcome.report


def test_better_is_promoted_tie_and_worse_are_held_and_a_guardrail_stops_the_better(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.pipeline.track", lambda runs: Tracked("none"))
    fill_shop()
    first = _report(_train(tmp_path, "popularity"))
    assert first.verdict.action == "promote"
    assert [one.name for one in first.verdict.guardrails] == [
        "coverage",
        "popularity_share",
        "empty_rate",
        "scoring_ms",
    ]
    assert all(one.ok and one.model == "popularity-v1" for one in first.verdict.guardrails)

    tie = _train(tmp_path, "popularity", "half_life_days = 8.0")
    assert (_report(tie).verdict.action, tie.active) == ("hold", "popularity-v1")

    stopped = _train(tmp_path, "item_knn", "neighbours = 20", "max_scoring_ms = 0.001")
    verdict = _report(stopped).verdict
    assert (verdict.action, stopped.active) == ("hold", "popularity-v1")
    assert verdict.against_champion is not None
    assert verdict.against_champion.significant  # it is better, and still held
    assert "item_knn-v1 is better" in verdict.reason
    assert "above the limit 0.001 ms per 1000 users" in verdict.reason
    assert [one.name for one in verdict.guardrails if not one.ok] == ["scoring_ms"]
    with unit_of_work() as session:
        gate = registry.get(session, "item_knn-v1").parameters["gate"]
        audit = registry.history(session)[0]
    assert (gate["action"], [one["name"] for one in gate["guardrails"] if not one["ok"]]) == (
        "hold",
        ["scoring_ms"],
    )
    assert audit.figures is not None
    assert [one["ok"] for one in audit.figures["guardrails"]] == [True, True, True, False]
    assert run(["train", "promote", "item_knn-v1", "--reason", "try"]) == 2
    assert "above the limit 0.001" in capsys.readouterr().err

    better = _train(tmp_path, "item_knn", "neighbours = 20")
    assert (_report(better).verdict.action, better.active) == ("promote", "item_knn-v2")
    worse = _train(tmp_path, "popularity", "half_life_days = 9.0")
    assert (_report(worse).verdict.action, worse.active) == ("hold", "item_knn-v2")
