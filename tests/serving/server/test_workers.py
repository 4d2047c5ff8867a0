"""Workers forked from one process: they share a port, are replaced, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psutil
import pytest

from serving.server.workers import can_fork
from tests.support import warm
from tests.support.servers import ROOT
from tests.support.shop import Shop
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(not can_fork(), reason="workers are not forked here")
SUPERVISE = """
import os, signal, sys, time
from recsys import log
from recsys.errors import Unavailable
from serving.server.workers import RestartPolicy, Supervisor

log.configure("INFO", json=True)
def work(ready):
    {work}
policy = RestartPolicy(initial_delay=0.01, max_delay=0.02, max_deaths=3, drain_seconds=0.5)
supervisor = Supervisor(2, work, policy)
try:
    with supervisor.handling_signals():
        supervisor.run()
except Unavailable as error:
    sys.stderr.write("refused: " + error.message)
    sys.exit(1)
"""


@contextmanager
def serving(shop: Shop) -> Iterator[tuple[subprocess.Popen[str], str]]:
    # no fork of a template: where figures of all workers are kept is read when prometheus-client is imported
    process = subprocess.Popen(
        [sys.executable, "-m", "recsys", "serve", "api", "--workers", "2"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "RECSYS_API__RATE_PER_SECOND": "0"},
    )  # fmt: skip
    address = shop.var / "run" / "api.json"
    try:
        until(lambda: address.exists() or process.poll() is not None, 60)
        url = json.loads(address.read_text())["url"]
        until(lambda: _status(url, "/health/ready") == 200, 60)
        until(lambda: len(_workers(process)) == 2, 60)
        yield process, url
    finally:
        process.kill()
        process.wait(60)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def test_workers_answer_are_replaced_and_drain(scored_shop: Shop) -> None:
    with serving(scored_shop) as (process, url):
        previous_handlers = _workers(process)
        # each on a connection of its own: both workers use the database and Redis at once
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda turn: _asked(url, turn), range(120)))
        assert answers == [(200, 20)] * 120
        assert {_counted(url) for _ in range(12)} == {120}, "whichever of them is asked"
        os.kill(previous_handlers[0], signal.SIGKILL)
        until(lambda: len(_workers(process)) == 2 and previous_handlers[0] not in _workers(process), 60)
        assert previous_handlers[1] in _workers(process)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda turn: _asked(url, turn), range(60))) == [(200, 20)] * 60
        assert _counted(url) == 180, "also what the killed one answered"
        last = _workers(process)
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "killed by SIGKILL" in errors
    assert "Traceback" not in errors
    assert not any(psutil.pid_exists(pid) for pid in [*previous_handlers, *last])
    assert not (scored_shop.var / "run" / "api.json").exists()


def test_workers_end_when_who_watches_them_is_killed(open_shop: Shop) -> None:
    with serving(open_shop) as (process, _):
        workers = _workers(process)
        process.kill()
        until(lambda: not any(_alive(pid) for pid in workers), 60)


def test_a_start_that_fails_is_no_loop() -> None:
    result = _supervised("sys.exit(3)")
    assert result.returncode == 1
    assert "refused: the API could not start" in result.stderr
    assert "replaced" not in result.stderr


def test_who_dies_again_and_again_is_given_up() -> None:
    result = _supervised("ready(); time.sleep(0.2); os._exit(7)")
    assert result.returncode == 1
    assert "exit code 7" in result.stderr
    assert result.stderr.count("is not replaced") == 2
    assert result.stderr.count("will be replaced") == 4
    assert "refused: no worker is left" in result.stderr


def test_who_does_not_end_is_killed() -> None:
    ignoring = "signal.signal(2, signal.SIG_IGN); signal.signal(15, signal.SIG_IGN)"
    work = f"{ignoring}; ready(); os.kill(os.getppid(), 15); time.sleep(60)"
    result = _supervised(work)
    assert result.returncode == 0, result.stderr
    assert "did not end in time" in result.stderr


def _supervised(work: str) -> subprocess.CompletedProcess[str]:
    return warm.run("-c", SUPERVISE.format(work=work), timeout=60)


def _workers(process: subprocess.Popen[str]) -> list[int]:
    return [child.pid for child in psutil.Process(process.pid).children()]


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _status(url: str, path: str) -> int:
    try:
        return httpx.get(f"{url}{path}", timeout=10).status_code
    except httpx.TransportError:
        return 0


def _counted(url: str) -> int:
    """Lists that were answered, by the figures for operators."""
    lines = httpx.get(f"{url}/metrics", timeout=10).text.splitlines()
    answered = [line for line in lines if line.startswith("recsys_answers_total{")]
    return int(sum(float(line.rpartition(" ")[2]) for line in answered))


def _asked(url: str, turn: int) -> tuple[int, int]:
    narrowed = "?in_stock=true" if turn % 2 else ""
    run_worker = httpx.get(f"{url}/api/v1/users/{1 + turn % 20}/recommendations{narrowed}", timeout=30)
    return run_worker.status_code, len(run_worker.json()["items"])
