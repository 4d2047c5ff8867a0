"""The figure of past trainings: there when something came before, and nothing of it when not."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from training.report.document import EvaluationReport, Figure, PastTraining
from training.report.page import render
from training.report.plots.history_plot import history_plot


def past(report: EvaluationReport, *values: float) -> EvaluationReport:
    first = report.models[0]
    history = [
        PastTraining(
            name=f"{first.experiment}-v0",
            experiment=first.experiment,
            trained_at=datetime(2026, 1, day, tzinfo=UTC),
            figure=Figure(k=report.verdict.k, value=value, low=value / 2, high=value * 2),
        )
        for day, value in enumerate(values, start=1)
    ]
    return report.model_copy(update={"history": history})


def test_past_trainings_are_drawn_and_named(report: EvaluationReport) -> None:
    assert history_plot(report, "NDCG") == ""
    assert "Training history" not in render(report)
    with_history = past(report, 0.1, 0.2)
    page = render(with_history)
    assert "Training history" in page
    assert "date of the training (UTC)" in page
    assert re.search(
        r">(2026|Jan|Feb|Mar|[A-Z][a-z]{2}|\\d{4}-[A-Z][a-z]{2})</text>", history_plot(with_history, "NDCG")
    ), "a date on its axis"
    one, two = history_plot(past(report, 0.1), "NDCG"), history_plot(with_history, "NDCG")
    assert two.count("<use ") > one.count("<use "), "a mark for each training"
    assert EvaluationReport.model_validate_json(with_history.model_dump_json()) == with_history
