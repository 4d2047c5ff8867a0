"""The worked example of docs/your-own-model.md, installed: it trains, recommends and keeps the contract."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.shop import Shop
from tests.training.shops import fill_shop

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "your-own-model.md"
NAME = "shelf_favourites"


def blocks(language: str) -> list[str]:
    """The fenced code of the document in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the package as pip lays it out; on a child's path it is installed there."""
    folder = tmp_path / "site"
    project = tomllib.loads(blocks("toml")[0])["project"]
    module = blocks("python")[0]
    info = folder / f"{NAME}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (folder / f"{NAME}.py").write_text(module, encoding="utf-8")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    [(group, entries)] = project["entry-points"].items()
    lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    return folder


def path_with(folder: Path) -> str:
    return os.pathsep.join([str(folder), str(ROOT)])


def test_the_example_is_about_forty_lines() -> None:
    code = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(code) < 50


def test_it_keeps_the_contract_of_all_models(installed: Path) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "tests/models/test_contract.py",
            "-qx",
            f"-k{NAME}",
            "-pno:cacheprovider",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path_with(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4_000:] + ran.stderr[-2_000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) >= 30
    assert "skipped" not in ran.stdout


def test_it_trains_is_promoted_and_fills_lists_by_the_commands(shop: Shop, installed: Path) -> None:
    fill_shop()
    with_categories()
    experiment = installed / "shelf.toml"
    experiment.write_text(
        blocks("toml")[1] + "\n[split]\ntest_days = 12\n[evaluation]\ndraws = 200\n", encoding="utf-8"
    )
    there = {"PYTHONPATH": path_with(installed)}
    unknown = shop.run("train", "run", experiment)  # not installed there
    assert unknown.returncode == 2
    assert f"no algorithm is named '{NAME}'" in unknown.stderr
    trained = shop.run("train", "run", experiment, "--json", **there)
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["active"] == "shelf-v1"
    scored = shop.run("serve", "score", **there)
    assert scored.returncode == 0, scored.stderr
    program = (
        "import json, sys; from models.registry import registry\n"
        "from recsys.database.session import unit_of_work\n"
        "with unit_of_work() as session: model = registry.load(registry.active(session))\n"
        "ranking = model.recommend([1, 2], 5, exclude='seen')\n"
        "explanation = model.explain(1, int(model.recommend([1], 1).products[0, 0]))\n"
        "json.dump([model.algorithm, ranking.products.tolist(), explanation.score], sys.stdout)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **there},
        capture_output=True,
        text=True,
        check=True,
    )
    algorithm, products, score = json.loads(ran.stdout)
    assert (algorithm, score > 0) == (NAME, True)
    assert all(len(row) == 5 for row in products)


def with_categories() -> None:
    """Odd and even products lie on shelves of their own."""
    from sqlalchemy import text

    from recsys.database.session import unit_of_work

    with unit_of_work() as session:
        session.execute(
            text(
                "INSERT INTO products_db.categories (id, name, slug) "
                "VALUES (1, 'Odd', 'odd'), (2, 'Even', 'even')"
            )
        )
        session.execute(text("UPDATE products_db.products SET category_id = 2 - id % 2"))
