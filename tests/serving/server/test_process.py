"""`recsys serve api` as a real process: finds a port, says where it is, ends cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from recsys.database import migrate
from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from tests.support import warm
from tests.support.shop import Shop
from tests.support.waiting import until


@pytest.mark.parametrize(("stop", "workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_the_process_starts_beside_a_taken_port_and_stops_cleanly(
    open_shop: Shop, stop: signal.Signals, workers: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = warm.start(
            *("-m", "recsys", "serve", "api", "--workers", str(workers)),
            env={**os.environ, "RECSYS_API__PORT": str(port)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        address = open_shop.var / "run" / "api.json"
        try:
            until(lambda: address.exists() or process.poll() is not None, 60)
            state = json.loads(address.read_text())
            assert state["pid"] == process.pid
            assert state["url"] != f"http://127.0.0.1:{port}"
            until(lambda: _ready(state["url"]), 60)
            run_worker = httpx.get(f"{state['url']}/api/v1/users/1/recommendations")
            assert len(run_worker.json()["items"]) == 20
        finally:
            os.kill(process.pid, stop)
            output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert state["url"] in output
    assert "Traceback" not in errors
    assert not address.exists()


def test_a_port_that_was_asked_for_and_is_taken_is_refused(open_shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = open_shop.run("serve", "api", "--port", port)
    assert result.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in result.stderr
    assert not (open_shop.var / "run" / "api.json").exists()


def test_it_refuses_a_schema_that_is_too_old(shop: Shop) -> None:
    migrate.downgrade(shop.database_url, "base")
    result = shop.run("serve", "api")
    assert result.returncode == 1
    assert "recsys migrate" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (shop.var / "run" / "api.json").exists()


def test_it_refuses_an_address_that_is_not_ours(open_shop: Shop) -> None:
    with unit_of_work() as session:
        api_keys.create(session, "shop", ["recommend"], by="tests")
    secret = {"RECSYS_PAYMENTS__WEBHOOK_SECRET": "a-secret-for-this-test-only"}
    result = open_shop.run("serve", "api", "--host", "203.0.113.1", **secret)
    assert result.returncode == 1
    assert "cannot listen on 203.0.113.1" in result.stderr


def test_it_serves_though_its_address_cannot_be_noted(open_shop: Shop) -> None:
    (open_shop.var / "run").write_text("in the way, as a read-only file system would be")
    process = warm.start(
        *("-m", "recsys", "serve", "api"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[3]
        until(lambda: _ready(url), 60)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "could not be noted" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_during_the_start_leaves_no_address_behind(open_shop: Shop, workers: str) -> None:
    address = open_shop.var / "run" / "api.json"
    process = warm.start(
        *("-m", "recsys", "serve", "api", "--workers", workers),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: address.exists() or process.poll() is not None, 60)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert not address.exists()


def test_scoring_by_command(trained_shop: Shop, tmp_path: Path) -> None:
    first = trained_shop.run("serve", "score", "--json")
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert (report["scored"], report["users"], report["rows"], report["redis"]) == (True, 29, 2900, True)
    again = trained_shop.run("serve", "score", "--if-needed", "--json")
    assert json.loads(again.stdout) == {"scored": False}


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=10).status_code == 200
    except httpx.TransportError:
        return False
