"""The screen of models: what is registered, promoting, holding, rolling back, the report inside."""

from __future__ import annotations

import httpx
import pytest

from models.registry import registry
from recsys.database.session import unit_of_work
from serving.batch import scoring
from tests.serving.console.conftest import GUARDRAILS
from tests.support.web.pages import send_form


def active() -> str | None:
    with unit_of_work() as session:
        found = registry.active(session)
        return None if found is None else found.name


def test_the_registry_displays_quality_with_intervals_and_the_gate(second: httpx.Client) -> None:
    content = second.get("/console/models", params={"format": "json"}).json()
    assert content["active"] == "knn-v1"
    (row,) = [row for row in content["models"] if row["name"] == "knn-v2"]
    assert (row["gate"], row["gate_reason"], row["has_report"]) == ("hold", "not better", True)
    assert row["ndcg"] == [{"question": "Any product", "value": 0.1234, "low": 0.1, "high": 0.15, "k": 10}]
    text = second.get("/console/models").text
    assert "0.1000 to 0.1500" in text
    page = second.get("/console/models/knn-v2", params={"format": "json"}).json()
    assert page["guardrails"] == [{**GUARDRAILS[0]}]
    assert page["hyperparameters"] == {"neighbours": "50"}


def test_a_held_model_is_promoted_by_force_alone_and_rolled_back_with_a_reason(second: httpx.Client) -> None:
    path, reason = "/console/models/knn-v2", {"reason": "a better look"}
    held = send_form(second, f"{path}/promote", reason)
    assert (held.status_code, active()) == (409, "knn-v1")
    assert "is held back: not better" in held.text
    assert send_form(second, f"{path}/promote", {"force": "true"}).status_code == 422
    assert send_form(second, f"{path}/promote", {**reason, "force": "true"}).status_code == 303
    assert active() == "knn-v2"
    scoring.score()
    content = second.get("/console/models", params={"format": "json"}).json()
    assert content["rollback_to"] == "knn-v1"
    back = send_form(second, "/console/models/roll-back", {"to": "knn-v1", "reason": "worse after all"})
    assert (back.headers["location"], active()) == ("/console/models", "knn-v1")
    history = second.get("/console/models", params={"format": "json"}).json()["history"]
    assert [(row["action"], row["reason"]) for row in history[:2]] == [
        ("rollback", "worse after all"),
        ("promote", "a better look"),
    ]
    assert history[0]["actor"] == "console in development"


def test_a_model_is_held_by_hand(second: httpx.Client) -> None:
    with unit_of_work() as session:
        registry.annotate(session, "knn-v2", {"gate": {"action": "promote", "reason": "better"}})
    assert send_form(second, "/console/models/knn-v2/hold", {"reason": "broken import"}).status_code == 303
    row = second.get("/console/models/knn-v2", params={"format": "json"}).json()["model"]
    assert (row["gate"], row["held_by_hand"], row["gate_reason"]) == ("hold", True, "broken import")


def test_the_report_is_displayed_in_a_frame_of_the_console_alone(second: httpx.Client) -> None:
    assert 'src="/console/models/knn-v2/report/content"' in second.get("/console/models/knn-v2/report").text
    report = second.get("/console/models/knn-v2/report/content")
    assert report.text == "<h1>How it went</h1>"
    assert "frame-ancestors 'self'" in report.headers["content-security-policy"]
    assert "sandbox" in report.headers["content-security-policy"]
    assert report.headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize("path", ["", "/report", "/report/content"])
def test_an_unknown_model_is_a_page_that_names_those_there_are(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/console/models/no-such{path}")
    assert answer.status_code == 404
    assert "knn-v1" in answer.text
    if path == "/report/content":
        assert client.get(f"/console/models/knn-v1{path}").status_code == 404


def test_a_wrong_rollback_changes_nothing(second: httpx.Client) -> None:
    for to, status in (("no-such", 404), ("knn-v1", 409)):
        answer = send_form(second, "/console/models/roll-back", {"to": to, "reason": "to see"})
        assert answer.status_code == status
    assert active() == "knn-v1"
