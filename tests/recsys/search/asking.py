"""Questions to the search by HTTP."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from recsys.cli import app
from tests.journeys.conftest import Counter


def found(counter: Counter, query: str, **others: Any) -> list[str]:
    return [one["name"] for one in counter.send("GET", f"/search/products?{query}", **others)["items"]]


def run(*args: str) -> tuple[int, str]:
    """`recsys search …` in this process: its exit code and what it wrote."""
    done = CliRunner().invoke(app, ["search", *args])
    return done.exit_code, done.stdout


def indexed(counter: Counter, *names: str, **others: Any) -> dict[str, int]:
    made = {name: counter.product(name, slug=f"p{place}", **others)[0] for place, name in enumerate(names)}
    counter.settle_events()
    return made
