"""The log follows whatever stderr is now, in one line of JSON, and hides what must not be read."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from recsys import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


def test_a_line_goes_to_the_stderr_of_the_moment_not_to_one_that_was_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    log.configure(json=True)
    logger = logging.getLogger("shop")
    logger.warning("before")
    line = first.getvalue()
    monkeypatch.setattr(sys, "stderr", second)
    first.close()
    logger.warning("after")
    assert json.loads(line)["event"] == "before"
    assert json.loads(second.getvalue())["event"] == "after"


def test_what_is_named_like_a_secret_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log.configure(json=True)
    log.get_logger("shop").warning("log-in", password="hunter2", user_id=5)
    line = json.loads(stream.getvalue())
    assert line["password"] == "[hidden]"
    assert line["user_id"] == 5
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("prepare", ["", "log.configure(json=False)", "log.configure(json=True)"])
def test_an_error_is_logged_with_its_place_and_without_the_values_of_its_variables(prepare: str) -> None:
    program = f"""
from recsys import log
{prepare}
def pay(card):
    typed = card
    raise ValueError("declined")
try:
    pay("".join(["4111", "1111"]))
except ValueError:
    log.get_logger("shop").exception("failed", password="swordfish")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    output = done.stdout + done.stderr
    assert "in pay" in output
    assert "declined" in output
    assert "41111111" not in output
    assert "swordfish" not in output
