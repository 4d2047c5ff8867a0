"""`recsys export lists`: the stored lists with the shop's own ids, the same in each format."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner, Result

from recsys.exports.cli import app
from recsys.exports.lists import COLUMNS
from tests.support.shop import Shop

AWKWARD = 'a/b,"c"\né'


@pytest.fixture
def named_shop(scored_shop: Shop) -> Shop:
    """User 1 and the products of their list have awkward own ids; one product has none, one is hidden."""
    with scored_shop.connect() as connection:
        connection.execute("UPDATE users_db.users SET username = %s WHERE id = 1", (AWKWARD,))
        products = _stored(scored_shop, 1, "any")
        connection.execute(
            "UPDATE products_db.products SET sku = id || %s WHERE id = ANY(%s)", (AWKWARD, products)
        )
        connection.execute("UPDATE products_db.products SET sku = NULL WHERE id = %s", (products[1],))
        connection.execute("UPDATE products_db.products SET sku = '' WHERE id = %s", (products[2],))
        connection.execute(
            "UPDATE products_db.products SET status = 'archived' WHERE id = %s", (products[3],)
        )
    return scored_shop


def _stored(shop: Shop, user: int, question: str) -> list[int]:
    with shop.connect() as connection:
        rows = connection.execute(
            "SELECT product_id FROM recommendations_db.product_recommendations "
            "WHERE user_id = %s AND context ? %s ORDER BY CAST(context -> %s ->> 'rank' AS integer)",
            (user, question, question),
        )
        return [row[0] for row in rows]


def _run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["lists", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def _of_csv(text: str) -> list[dict[str, Any]]:
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for row in rows:
        row.update(rank=int(row["rank"]), score=float(row["score"]))
        row.update(user_id=int(row["user_id"]), product_id=int(row["product_id"]), sku=row["sku"] or None)
    return rows


def test_each_format_has_the_stored_lists(named_shop: Shop, tmp_path: Path) -> None:
    expected = _stored(named_shop, 1, "any")
    del expected[3]
    options = ("--question", "both", "--top", "1000")
    lines = [json.loads(line) for line in _run(*options, "--format", "jsonl").stdout.splitlines()]
    assert all(list(line) == list(COLUMNS) for line in lines)
    mine = [line for line in lines if line["user_id"] == 1 and line["question"] == "any"]
    assert [line["product_id"] for line in mine] == expected
    assert [line["rank"] for line in mine] == list(range(1, len(expected) + 1))
    assert {line["username"] for line in mine} == {AWKWARD}
    assert [line["sku"] for line in mine[:3]] == [f"{expected[0]}{AWKWARD}", None, ""]
    assert all(first["score"] > second["score"] for first, second in itertools.pairwise(mine))
    assert {line["question"] for line in lines} == {"any", "new"}
    of_csv = _of_csv(_run(*options).stdout)
    assert of_csv == [{**line, "sku": line["sku"] or None} for line in lines]
    target = tmp_path / "lists.parquet"
    summary = json.loads(_run(*options, "--format", "parquet", "--output", target, "--json").stdout)
    users = {line["user_id"] for line in lines}
    assert summary == {"rows": len(lines), "users": len(users), "format": "parquet", "file": str(target)}
    with duckdb.connect() as reader:
        relation = reader.read_parquet(str(target))
        assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == COLUMNS
        assert [dict(zip(COLUMNS, row, strict=True)) for row in relation.fetchall()] == lines


def test_some_users_and_the_best_products(named_shop: Shop, tmp_path: Path) -> None:
    target = tmp_path / "lists.csv"
    target.write_text("former")
    _run("--user", f"username:{AWKWARD}", "--user", "2", "--top", "3", "--output", target)
    rows = _of_csv(target.read_text())
    assert [(row["user_id"], row["rank"]) for row in rows] == [(u, r) for u in (1, 2) for r in (1, 2, 3)]
    assert [path.name for path in tmp_path.iterdir() if path.name != "var"] == ["lists.csv"]


WRONG = [
    (("--format", "xlsx"), "is not one of csv, jsonl, parquet"),
    (("--question", "old"), "is not one of any, new, both"),
    (("--format", "parquet"), "Parquet is written to a file"),
    (("--user", "username:nobody"), "No user has the username 'nobody'."),
    (("--user", "sku:1"), "names no user; write its number or username:VALUE."),
    (("--user", "999"), "No lists are stored for these users"),
    (("--output", "/nowhere/at/all.csv"), "/nowhere/at/all.csv cannot be written: No such file or directory"),
]


def test_what_is_wrong_ends_with_2_and_writes_nothing(scored_shop: Shop, tmp_path: Path) -> None:
    for arguments, reason in WRONG:
        result = scored_shop.run("export", "lists", *arguments)
        assert (result.returncode, result.stdout) == (2, ""), arguments
        assert reason in result.stderr, arguments
