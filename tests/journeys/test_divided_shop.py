"""A shop whose tables move to servers of their own: the same lists by every command, before and after."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from recsys.database.servers.placement import SERVER_NAMES, ServerName
from tests.support.shop import Shop

_COUNTS = (
    "SELECT (SELECT count(*) FROM recommendations_db.user_interactions),"
    " (SELECT count(*) FROM recommendations_db.product_recommendations),"
    " (SELECT count(*) FROM recommendations_db.stored_lists)"
)


def _done(shop: Shop, *command: object) -> str:
    done = shop.run(*command, timeout=300)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def _lists(shop: Shop) -> list[tuple[str, ...]]:
    """Every place of every list as the shop's engineer exports it; scores are those of a file."""
    written = _done(shop, "export", "lists", "--question", "both", "--top", 10)
    return [tuple(row) for row in csv.reader(io.StringIO(written))]


def _counts(url: str) -> tuple[Any, ...]:
    with psycopg.connect(url) as connection:
        row = connection.execute(_COUNTS).fetchone()
        assert row is not None
        return row


@pytest.mark.one_server
@pytest.mark.timeout(600)
def test_lists_and_reports_are_the_same_on_several_servers(
    shop: Shop, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    _done(shop, "simulate", files, "--users", 120, "--products", 60, "--interactions", 4000, "--seed", 5)
    users = files / "users/*.parquet"
    interactions = ("import", "csv", "--users", users, "--interactions", files / "interactions/*.parquet")
    _done(shop, *interactions, "--products", files / "products.parquet")
    _done(shop, "train", "run", "item_knn")
    _done(shop, "serve", "score")
    before, rows = _lists(shop), _counts(shop.database_url)
    assert len(before) > 1_000

    urls: dict[ServerName, str] = request.getfixturevalue("other_servers")
    _done(shop, "migrate")
    for name in SERVER_NAMES:
        moved = shop.run("migrate", "--move", name)
        assert moved.returncode == 0 or "has no rows of the" in moved.stderr
    assert _counts(shop.database_url) == (0, 0, 0)
    assert _counts(urls["recommendations"]) == rows
    assert _lists(shop) == before

    # all of it again, where it lies now
    again = json.loads(_done(shop, *interactions, "--json"))
    assert again["tables"]["user_interactions"]["already_there"] == rows[0]
    _done(shop, "features", "build")
    _done(shop, "serve", "score")
    assert _lists(shop) == before
    _done(shop, "train", "run", "popularity")
    _done(shop, "search", "reindex")
    for command in (
        "train live --since 4w", "train measure", "segments replenishment", "segments price-drop",
        "privacy retention", "serve score --changed",
    ):  # fmt: skip
        _done(shop, *command.split())
    assert _counts(shop.database_url) == (0, 0, 0), "nothing is written beside its server"
    found = {each["part"]: each for each in json.loads(shop.run("doctor", "--json").stdout)}
    assert "item_knn-v1 is active" in found["model"]["found"]
    assert {part: each for part, each in found.items() if each["state"] == "broken"} == {}
