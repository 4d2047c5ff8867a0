"""The glossary names places that exist, and its own entries keep the words that it asks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("recsys", "features", "models", "training", "serving")
GLOSSARY = ROOT / "docs" / "glossary.md"
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def places(page: str) -> list[str]:
    """The names in the third column of the glossary's tables, without their backticks."""
    rows = [row.split(" | ") for row in page.splitlines() if row.startswith("| ")]
    return [name for row in rows if len(row) > 3 for name in re.findall(r"`([^`]+)`", row[2])]


def exists(place: str) -> bool:
    """Whether the project has this file, folder (by the end of its path), class, or documented name."""
    if place.endswith(("/", ".py")):
        ends = f"/{place.rstrip('/')}"
        return any(f"/{path.relative_to(ROOT).as_posix()}".endswith(ends) for path in FILES) or any(
            f"/{path.parent.relative_to(ROOT).as_posix()}".endswith(ends) for path in FILES
        )
    word = re.compile(rf"\b{re.escape(place.rpartition('.')[2])}\b")
    return any(word.search(path.read_text(encoding="utf-8")) for path in FILES)


def test_every_place_of_the_glossary_exists() -> None:
    named = places(GLOSSARY.read_text(encoding="utf-8"))
    assert len(named) > 30
    assert [place for place in named if not exists(place)] == []


@pytest.mark.parametrize(
    "place", ["serving/ranking/gone.py", "gone.py", "recsys/gone/", "GoneFromEverywhere"]
)
def test_a_place_that_is_gone_is_reported(place: str) -> None:
    page = f"| term | meaning | `{place}` | |\n"
    assert [name for name in places(page) if not exists(name)] == [place]
