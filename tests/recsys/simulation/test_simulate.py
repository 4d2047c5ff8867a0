"""`recsys simulate` as files and as rows: the same shop both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.simulation.truth import ShopTruth
from tests.recsys.imports.desk import Desk
from tests.support.shop import Shop

SIZES = (
    "--users",
    "150",
    "--products",
    "40",
    "--interactions",
    "3000",
    "--until",
    "2026-11-01",
    "--seed",
    "5",
)
ROWS = (
    """SELECT event_id, u.username, p.sku, interaction_type, interaction_value, context, session_id,
        i.created_at
    FROM recommendations_db.user_interactions i JOIN recommendations_db.interaction_events e
        ON e.interaction_id = i.id JOIN users_db.users u ON u.id = i.user_id
        JOIN products_db.products p ON p.id = i.product_id ORDER BY 1""",
    "SELECT username, email, full_name, created_at FROM users_db.users ORDER BY 1",
    """SELECT p.sku, p.name, p.slug, p.price, p.tags, c.slug, b.slug, p.created_at, v.sku, v.inventory_policy
    FROM products_db.products p JOIN products_db.categories c ON c.id = p.category_id
        JOIN products_db.brands b ON b.id = p.brand_id JOIN products_db.product_variants v
        ON v.product_id = p.id ORDER BY 1""",
)


def simulate(shop: Shop, folder: Path, *more: str) -> dict[str, Any]:
    done = shop.run("simulate", folder, *SIZES, *more, "--json")
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(shop, folder)


@pytest.mark.one_server
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_files_are_imported_whole_and_equal_the_rows_of_copy(desk: Desk, tmp_path: Path, form: str) -> None:
    copied = simulate(desk.shop, tmp_path / "copied", "--database")
    rows = [desk.rows(query) for query in ROWS]
    assert [len(each) for each in rows] == [copied["interactions"], 150, 40]
    # the events have the same ids in files: an import finds every one stored
    written = simulate(desk.shop, tmp_path / "files", "--format", form)
    assert {**written, "folder": 0, "next": 0, "seconds": 0, "peak_memory_mib": 0} == {
        **copied, "folder": 0, "next": 0, "seconds": 0, "peak_memory_mib": 0,
    }  # fmt: skip
    files = tmp_path / "files"
    report = desk.take(
        products=[files / f"products.{form}"],
        users=[files / f"users/*.{form}"],
        interactions=[files / f"interactions/*.{form}"],
    )
    assert report.refusals.total == 0
    assert report.table("user_interactions").already_there == copied["interactions"]
    assert report.table("users").already_there == 150
    assert (report.table("products").already_there, report.table("products").updated) == (40, 0)
    assert [desk.rows(query) for query in ROWS] == rows


def test_files_are_imported_into_an_empty_shop(desk: Desk, tmp_path: Path) -> None:
    written = simulate(desk.shop, tmp_path / "files")
    assert sum(written["by_type"].values()) == written["interactions"]
    [command] = written["next"]
    assert command.startswith("recsys import csv")
    files = tmp_path / "files"
    report = desk.take(
        products=[files / "products.parquet"],
        users=[files / "users/*.parquet"],
        interactions=[files / "interactions/*.parquet"],
    )
    assert report.refusals.total == 0
    added = [report.table(name).added for name in ("user_interactions", "users", "products")]
    assert added == [written["interactions"], 150, 40]


def test_the_same_seed_writes_the_same_files(shop: Shop, tmp_path: Path) -> None:
    for name in ("first", "second"):
        simulate(shop, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*.*"))
    assert len(files) == 5
    for file in files:
        if file.suffix == ".parquet":
            assert pl.read_parquet(tmp_path / "first" / file).equals(
                pl.read_parquet(tmp_path / "second" / file)
            )
    truths = [ShopTruth.load(tmp_path / name) for name in ("first", "second")]
    assert truths[0].parameters == truths[1].parameters
    assert (truths[0].user_vectors == truths[1].user_vectors).all()


def test_a_person_reads_what_comes_next(shop: Shop, tmp_path: Path) -> None:
    done = shop.run("simulate", tmp_path / "shop", *SIZES)
    assert done.returncode == 0, done.stderr
    assert "recsys import csv --products" in done.stdout
    assert "150 users with 40 products" in done.stdout


def test_copy_refuses_a_shop_with_interactions(shop: Shop, tmp_path: Path) -> None:
    simulate(shop, tmp_path / "first", "--database")
    done = shop.run("simulate", tmp_path / "second", *SIZES, "--database")
    assert done.returncode == 2
    assert "has interactions already" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--users", "0"), "--users 0 is out of range"),
        (("--until", "yesterday"), "--until 'yesterday' is not a moment"),
        (("--format", "xlsx"), "--format 'xlsx' is not one of parquet, csv"),
        (("--taste", "nan"), "--taste nan is out of range"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    shop: Shop, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = shop.run("simulate", tmp_path / "shop", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "shop").exists()


def test_a_folder_with_files_is_refused_and_kept(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = shop.run("simulate", tmp_path, *SIZES)
    assert done.returncode == 2
    assert "is not an empty folder" in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_help_shows_an_example(shop: Shop) -> None:
    done = shop.run("simulate", "--help")
    assert "Example: recsys simulate shop/" in done.stdout
