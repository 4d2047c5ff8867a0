"""Files made from the OpenAPI document are those of the routes as they are now."""

from __future__ import annotations

from pathlib import Path

from serving.api.reference import generated

ROOT = Path(__file__).resolve().parents[2]


def test_generated_files_are_up_to_date() -> None:
    stale = [name for name, text in generated().items() if (ROOT / name).read_text("utf-8") != text]
    assert stale == [], (
        "run `make types`, or `.venv/bin/python -m serving.api.reference`, and commit the files"
    )
