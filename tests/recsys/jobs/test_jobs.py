"""Jobs: planned, started, watched, missed, stopped and lost, by one leader, on a real database."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.diagnosis.drift import BUILD_AND_TRAIN
from recsys.errors import Conflict, Invalid, NotFound, Unavailable
from recsys.events import periodic
from recsys.events.periodic import Job
from recsys.jobs import service
from recsys.jobs.catalogue import JOBS, job_for_remedy
from recsys.jobs.runner import JobRunner, _plan
from recsys.jobs.schedule import count_between, next_after
from recsys.jobs.tables import JobRun
from recsys.settings import get_settings
from tests.support.shop import Shop

NIGHT = "0 3 * * *"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def runner(shop: Shop) -> Iterator[JobRunner]:
    found = JobRunner()
    yield found
    found.close()


def scheduled(monkeypatch: pytest.MonkeyPatch, **schedules: str) -> None:
    monkeypatch.setenv("RECSYS_JOBS__SCHEDULES", json.dumps(schedules))
    get_settings.cache_clear()


def runs() -> list[tuple[str, str, int]]:
    with unit_of_work() as session:
        rows = session.query(JobRun).order_by(JobRun.id).all()
        return [(row.job, row.state, row.missed_starts) for row in rows]


def run_of(run_id: int) -> JobRun:
    with unit_of_work() as session:
        found = service.find(session, run_id)
        session.expunge(found)
        return found


def until(condition: Callable[[], bool], runner: JobRunner, seconds: float = 60) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, runs()
        runner.tick()
        time.sleep(0.05)


def requested(job: str) -> int:
    with unit_of_work() as session:
        return service.request(session, job, by="ada").id


def test_a_requested_job_runs_as_its_command_and_keeps_what_it_wrote(shop: Shop, runner: JobRunner) -> None:
    run_id = requested("rollup")
    assert run_of(run_id).requested_by == "ada"
    until(lambda: run_of(run_id).ended_at is not None, runner)
    run = run_of(run_id)
    assert (run.state, run.exit_code, run.cause) == ("done", 0, "person")
    assert run.log
    assert run.outcome
    assert run.outcome in run.log


def test_a_command_that_fails_is_failed_with_its_last_line(shop: Shop, runner: JobRunner) -> None:
    run_id = requested("preferences")  # there is no snapshot
    until(lambda: run_of(run_id).ended_at is not None, runner)
    run = run_of(run_id)
    assert (run.state, run.exit_code != 0) == ("failed", True)
    assert run.outcome is not None
    assert run.outcome.startswith("recsys")


def test_a_job_waits_or_runs_once(shop: Shop) -> None:
    requested("train")
    with pytest.raises(Conflict, match="waiting"):
        requested("train")
    with pytest.raises(NotFound, match="rollup"):
        requested("no-such-job")


def test_a_waiting_run_is_stopped_at_once_and_an_ended_one_not(shop: Shop) -> None:
    run_id = requested("train")
    with unit_of_work() as session:
        service.stop(session, run_id, by="ada")
    assert run_of(run_id).state == "stopped"
    with pytest.raises(Conflict), unit_of_work() as session:
        service.stop(session, run_id, by="ada")
    with pytest.raises(NotFound), unit_of_work() as session:
        service.stop(session, 10**6, by="ada")


def test_a_running_job_is_stopped_by_a_request_and_by_the_end_of_its_leader(
    shop: Shop, runner: JobRunner
) -> None:
    run_id = long_run()
    until(lambda: run_of(run_id).state == "running", runner)
    pid = run_of(run_id).pid
    with unit_of_work() as session:
        service.stop(session, run_id, by="ada")
    until(lambda: run_of(run_id).ended_at is not None, runner)
    assert (run_of(run_id).state, run_of(run_id).outcome) == ("stopped", "stopped by ada")
    second = long_run()
    until(lambda: run_of(second).state == "running", runner)
    assert run_of(second).pid != pid
    runner.close()
    assert run_of(second).state == "stopped"


def long_run() -> int:
    """A run of a command that does not end by itself."""
    with unit_of_work() as session:
        run = service.request(session, "features", by="ada")
        run.arguments = ["serve", "intake"]
        return run.id


def test_a_schedule_is_planned_run_and_planned_again(
    shop: Shop, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(monkeypatch, rollup=NIGHT)
    with clock.frozen_at(NOON):
        runner.tick()
    assert runs() == [("rollup", "planned", 0)]
    with clock.frozen_at(NOON + timedelta(hours=15)):
        runner.tick()
    assert [state for _, state, _ in runs()] == ["running", "planned"]
    with unit_of_work() as session:
        (state,) = [each for each in service.overview(session) if each.job.name == "rollup"]
        assert state.next_at == datetime(2026, 3, 3, 3, tzinfo=UTC)
        assert state.schedule_words == "At 03:00 every day"
        assert state.open is not None
        assert state.open.cause == "schedule"


def test_starts_that_nothing_was_there_for_are_noted_as_missed(
    shop: Shop, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(monkeypatch, rollup=NIGHT)
    with clock.frozen_at(NOON):
        runner.tick()
    with clock.frozen_at(NOON + timedelta(days=3)):
        runner.tick()
        assert runs() == [("rollup", "missed", 3), ("rollup", "planned", 0)]
        with unit_of_work() as session:
            missed = service.last_missed(session, "rollup")
            assert missed is not None
            assert missed.outcome == "missed 3 times: nothing was running that starts jobs"


def test_a_changed_schedule_changes_the_plan_and_a_dropped_one_ends_it(
    shop: Shop, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clock.frozen_at(NOON):
        scheduled(monkeypatch, rollup=NIGHT)
        runner.tick()
        scheduled(monkeypatch, rollup="0 5 * * *")
        runner.tick()
        with unit_of_work() as session:
            assert service.overview(session)[5].next_at == datetime(2026, 3, 2, 5, tzinfo=UTC)
        scheduled(monkeypatch)
        runner.tick()
    assert runs() == []


def test_a_due_job_that_still_runs_is_not_queued_twice(
    shop: Shop, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_JOBS__PARALLEL", "1")
    scheduled(monkeypatch, rollup="*/5 * * * *")
    with clock.frozen_at(NOON):
        runner.tick()
        long_run()
        runner.tick()
    for minutes in (5, 10, 15):
        with clock.frozen_at(NOON + timedelta(minutes=minutes)):
            runner.tick()
    assert [state for job, state, _ in runs() if job == "rollup"] == ["queued", "planned"]


def test_a_run_whose_watcher_is_gone_is_lost(shop: Shop, runner: JobRunner) -> None:
    with unit_of_work() as session:
        here = socket.gethostname()
        # a pid may have been given to another process since: this one's own proves nothing
        for host, seen, pid in (
            ("elsewhere", timedelta(minutes=5), 1),
            ("elsewhere", timedelta(0), 1),
            (here, timedelta(minutes=5), os.getpid()),
            (here, timedelta(0), os.getpid()),
        ):
            session.add(
                JobRun(job="train", arguments=[], state="running", cause="person", due_at=clock.now(),
                       seen_at=clock.now() - seen, host=host, pid=pid)
            )  # fmt: skip
    runner.tick()
    assert [state for _, state, _ in runs()] == ["lost", "running", "lost", "running"]


def test_a_request_at_the_moment_of_the_schedule_queues_one_run(
    shop: Shop, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(monkeypatch, train="*/5 * * * *")
    with clock.frozen_at(NOON):
        runner.tick()
    with clock.frozen_at(NOON + timedelta(minutes=5)), unit_of_work() as session:
        service.request(session, "train", by="somebody")
        plan = threading.Thread(target=plan_once)
        plan.start()
        plan.join(0.5)
        assert plan.is_alive(), "it waits until the request is committed"
        session.commit()
        plan.join()
    assert [state for _, state, _ in runs()].count("queued") == 1


def plan_once() -> None:
    with unit_of_work() as session:
        _plan(session)


def test_the_plan_is_displayed_however_often_a_job_was_started_by_hand(
    shop: Shop, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(monkeypatch, train=NIGHT)
    runner.tick()
    with unit_of_work() as session:
        for _ in range(30):
            service.stop(session, service.request(session, "train", by="somebody").id, by="somebody")
        (state,) = (each for each in service.overview(session) if each.job.name == "train")
        assert state.next_at is not None
        assert state.latest is not None
        assert (state.latest.id, state.open) == (31, None)


def test_another_leader_ends_what_this_one_started(shop: Shop) -> None:
    closed, stop = threading.Event(), threading.Event()
    job = Job(lambda _: 0.01, lambda: None, closed.set)
    with shop.connect(autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [periodic.LEADER_LOCK])
        thread = threading.Thread(target=lambda: periodic.run(stop, jobs={"jobs": job}))
        thread.start()
        assert closed.wait(60)
        stop.set()
        thread.join()


def test_what_a_lost_run_wrote_is_kept(shop: Shop, runner: JobRunner) -> None:
    with unit_of_work() as session:
        run = JobRun(job="train", arguments=[], state="running", cause="person", due_at=clock.now(),
                     seen_at=clock.now(), host=socket.gethostname(), pid=2**22 + 1)  # fmt: skip
        session.add(run)
        session.flush()
        run_id = run.id
    log = shop.var / "jobs" / f"{run_id}.log"
    log.parent.mkdir()
    log.write_text("step 1\rstep 2\n")
    runner.tick()
    assert (run_of(run_id).state, run_of(run_id).log) == ("lost", "step 2\n")
    assert not log.exists()


def test_the_end_of_a_job_is_written_once_the_database_is_back(
    shop: Shop, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = requested("rollup")
    until(lambda: run_of(run_id).state == "running", runner)
    psutil.Process(run_of(run_id).pid).wait(60)
    with monkeypatch.context() as away:
        away.setenv("RECSYS_DATABASE__URL", "postgresql://nobody@127.0.0.1:1/none")
        get_settings.cache_clear()
        with pytest.raises(Unavailable):
            runner.tick()
    get_settings.cache_clear()
    until(lambda: run_of(run_id).ended_at is not None, runner)
    assert run_of(run_id).state == "done"


def test_of_two_processes_one_starts_jobs(shop: Shop) -> None:
    stop, looked = threading.Event(), [0, 0]

    def counting(place: int) -> None:
        looked[place] += 1

    threads = [
        threading.Thread(
            target=lambda place=place: periodic.run(
                stop, jobs={"jobs": Job(lambda _: 0.01, lambda: counting(place))}
            )
        )
        for place in range(2)
    ]
    for thread in threads:
        thread.start()
    try:
        while sum(looked) < 2:
            time.sleep(0.05)
        with unit_of_work() as session:
            assert service.is_scheduler_alive(session)
        assert 0 in looked
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    # PostgreSQL frees the lock a moment after the connection is closed
    deadline = time.monotonic() + 10
    while _is_scheduler_alive():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_scheduler_alive() -> bool:
    with unit_of_work() as session:
        return service.is_scheduler_alive(session)


@pytest.mark.parametrize(
    "given_schedules", ['{"train": "often"}', '{"train": "0 0 30 2 *"}', '{"cook": "0 3 * * *"}']
)
def test_a_schedule_that_never_comes_or_an_unknown_job_is_refused(
    monkeypatch: pytest.MonkeyPatch, given_schedules: str
) -> None:
    monkeypatch.setenv("RECSYS_JOBS__SCHEDULES", given_schedules)
    get_settings.cache_clear()
    with pytest.raises(Invalid, match="JOBS__SCHEDULES"):
        get_settings()
    get_settings.cache_clear()


@given(
    st.integers(1_735_689_600, 1_798_761_600),
    st.sampled_from([NIGHT, "*/7 * * * *", "0 0 1 * *"]),
)
def test_the_next_start_is_ahead_and_none_lies_between(second: int, expression: str) -> None:
    now = datetime.fromtimestamp(second, UTC)
    first = next_after(expression, now)
    assert first > now
    assert next_after(expression, first - timedelta(seconds=1)) == first
    assert count_between(expression, first, first) == 1


def test_every_job_is_a_command_that_exists(shop: Shop) -> None:
    for job in JOBS.values():
        done = shop.run(*[each for each in job.arguments if not each.startswith("--")], "--help")
        assert done.returncode == 0, job.command
        for option in (each for each in job.arguments if each.startswith("--")):
            assert option in done.stdout, job.command


def test_a_finding_of_the_doctor_leads_to_the_job_that_mends_it() -> None:
    assert job_for_remedy("recsys train run --all") is JOBS["train"]
    assert job_for_remedy("recsys features build") is JOBS["features"]
    assert job_for_remedy(BUILD_AND_TRAIN) is JOBS["train"]
    assert job_for_remedy("give it room") is None
    assert job_for_remedy(None) is None


def test_the_command_lists_runs_and_stops(shop: Shop) -> None:
    queued = json.loads(shop.run("jobs", "run", "train", "--json").stdout)
    assert (queued["job"], queued["state"]) == ("train", "queued")
    again = shop.run("jobs", "run", "train")
    assert (again.returncode, "Traceback" in again.stderr) == (2, False)
    unknown = shop.run("jobs", "history", "--job", "trian")
    assert (unknown.returncode, "There is no job 'trian'" in unknown.stderr) == (2, True)
    assert "is stopped" in shop.run("jobs", "stop", str(queued["id"])).stdout
    listed = json.loads(shop.run("jobs", "list", "--json").stdout)
    assert {row["job"] for row in listed["jobs"]} == set(JOBS)
    assert listed["scheduler"] is False
    history = json.loads(shop.run("jobs", "history", "--json").stdout)
    assert [(row["id"], row["state"]) for row in history] == [(queued["id"], "stopped")]
    with shop.connect() as connection:
        assert connection.execute("SELECT count(*) FROM analytics_db.job_runs").fetchone() == (1,)
