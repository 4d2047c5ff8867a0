"""The screen of jobs: start, watch, stop."""

from __future__ import annotations

import httpx

from recsys.database.session import unit_of_work
from recsys.jobs import service
from recsys.jobs.catalogue import JOBS
from recsys.jobs.runner import JobRunner
from tests.serving.console.conftest import LogIn
from tests.support.web.pages import send_form


def test_a_job_is_started_displayed_and_stopped(log_in: LogIn) -> None:
    client = log_in("operator")
    answer = send_form(client, "/console/jobs/start", {"job": "train"})
    assert answer.headers["location"] == "/console/jobs"
    assert "no process starts jobs now" in client.get("/console/jobs").text
    content = client.get("/console/jobs", params={"format": "json"}).json()
    assert content["scheduler_runs"] is False
    (card,) = [job for job in content["jobs"] if job["name"] == "train"]
    assert (card["open_run"]["state"], card["open_run"]["requested_by"][:5]) == ("queued", "user ")
    again = send_form(client, "/console/jobs/start", {"job": "train"})
    assert (again.status_code, "waiting to start already" in again.text) == (409, True)
    run = card["open_run"]["id"]
    assert send_form(client, f"/console/jobs/{run}/stop", {}).status_code == 303
    assert client.get(f"/console/jobs/{run}", params={"format": "json"}).json()["run"]["state"] == "stopped"


def test_a_run_displays_what_its_command_wrote(client: httpx.Client) -> None:
    with unit_of_work() as session:
        run_id = service.request(session, "rollup", by="test").id
    runner = JobRunner()
    try:
        while client.get(f"/console/jobs/{run_id}", params={"format": "json"}).json()["run"]["can_stop"]:
            runner.tick()
    finally:
        runner.close()
    content = client.get(f"/console/jobs/{run_id}", params={"format": "json"}).json()
    assert (content["run"]["state"], content["exit_code"]) == ("done", 0)
    assert content["log"].strip().splitlines()[-1] == content["run"]["outcome"]
    assert content["run"]["outcome"].split()[0] in client.get(f"/console/jobs/{run_id}").text
    one = client.get("/console/jobs", params={"job": "train", "format": "json"}).json()
    assert one["history"] == []


def test_an_unknown_job_or_run_is_a_page_that_says_so(client: httpx.Client) -> None:
    unknown = send_form(client, "/console/jobs/start", {"job": "cook"})
    assert unknown.status_code == 404
    assert all(name in unknown.text for name in JOBS)
    assert send_form(client, "/console/jobs/start", {}).status_code == 422
    assert send_form(client, "/console/jobs/start", {"job": "train", "back": "//evil"}).status_code == 422
    assert client.get("/console/jobs", params={"format": "json"}).json()["history"] == []
    assert client.get("/console/jobs/4711").status_code == 404
    assert client.get("/console/jobs/nothing").status_code == 422
