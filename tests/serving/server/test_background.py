"""The process beside the API: it handles events, is replaced when it dies, and ends with the API."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support import warm
from tests.support.shop import Shop
from tests.support.waiting import until


@pytest.fixture
def api(scored_shop: Shop, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    errors = tmp_path / "errors"
    with errors.open("wb") as stream:
        process = warm.start(
            *("-m", "recsys", "serve", "api"),
            stdout=subprocess.PIPE, stderr=stream,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1", "COLUMNS": "200", "RECSYS_EVENTS__INSIDE_API": "true",
            },
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            address = re.search(r"http://\S+", line)
            assert address is not None, errors.read_text()
            until(lambda: _answer(address[0], 1) is not None, 60)
            yield process, address[0], errors
        finally:
            process.terminate()
            process.wait(60)
            assert process.stdout is not None
            process.stdout.close()


def _answer(url: str, user: int) -> Any:
    try:
        return httpx.get(f"{url}/api/v1/users/{user}/recommendations", timeout=10).json()
    except httpx.TransportError:
        return None


def _background(process: subprocess.Popen[bytes]) -> psutil.Process:
    parent = psutil.Process(process.pid)
    (child,) = (child for child in parent.children() if child.nice() > parent.nice())
    return child


def _purchase(url: str, user: int, product: int) -> None:
    event = {"user_id": user, "product_id": product, "interaction_type": "purchase"}
    assert httpx.post(f"{url}/api/v1/interactions", json=event).status_code in (200, 201, 202)


def _refreshed(url: str, user: int) -> bool:
    """Whether the stored list considers the newest interactions: until then lists are ranked live."""
    return bool(_answer(url, user)["provenance"]["source"] == "stored")


def test_it_loads_the_model_before_the_first_event(api: tuple[subprocess.Popen[bytes], str, Path]) -> None:
    child = _background(api[0])
    until(lambda: any("/models/" in each.path for each in child.memory_maps()), 60)


def test_events_are_handled_in_a_process_of_lower_priority_that_is_replaced_when_it_is_killed(
    api: tuple[subprocess.Popen[bytes], str, Path],
) -> None:
    process, url, errors = api
    first = _background(process)
    _purchase(url, 1, 71)
    assert not _refreshed(url, 1)
    until(lambda: _refreshed(url, 1), 60)
    first.kill()
    first.wait(10)
    _purchase(url, 2, 72)
    until(lambda: _refreshed(url, 2), 120)
    assert _background(process).pid != first.pid
    assert "killed by SIGKILL" in errors.read_text()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_the_api(api: tuple[subprocess.Popen[bytes], str, Path], stop: signal.Signals) -> None:
    process, _, errors = api
    child = _background(process)
    process.send_signal(stop)
    process.wait(60)
    child.wait(30)
    assert process.returncode == (-9 if stop == signal.SIGKILL else 0), errors.read_text()
    assert "Traceback" not in errors.read_text()
