"""The example of the client's page runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LOGGED = r"\d{4}-\d\d-\d\d "
"""The API runs in this process and logs between the lines of the example."""
PAGE = Path(__file__).resolve().parents[3] / "docs" / "client.md"


def test_the_example_of_the_page_runs(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(script.replace("http://127.0.0.1:8000", address), names)
    printed = capsys.readouterr().out.splitlines()
    assert len([line for line in printed if not re.match(LOGGED, line)]) == 5
    assert names["report"].count("stored") == 1  # type: ignore[attr-defined]
