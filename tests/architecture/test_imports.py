"""Import arrows, checked by import-linter, and proof that a planted violation is caught."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("recsys", "features", "models", "training", "serving")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_contracts_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_contracts_name_every_domain() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    domains = {
        path.name for path in (ROOT / "recsys" / "domains").iterdir() if (path / "__init__.py").exists()
    }
    assert len(domains) == 7
    assert all(f"recsys.domains.{domain}" in text for domain in domains)


def test_the_algorithms_contract_names_every_algorithm() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = next(set(c["source_modules"]) for c in contracts if c["name"].startswith("Algorithms"))
    infrastructure = {
        "__init__", "registry", "mlflow_flavor", "report_paths", "measurement", "switching", "experiments",
    }  # fmt: skip
    paths = (ROOT / "models").rglob("*.py")
    algorithms = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if path.stem not in infrastructure
    }
    folders = tuple(name.removesuffix("*") for name in named if name.endswith(".*"))
    assert {name for name in algorithms - named if not name.startswith(folders)} == set()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("recsys/clock.py", "import features.ids"),
        ("features/ids.py", "import models.results"),
        ("models/results.py", "import training"),
        ("training/__init__.py", "import serving"),
        ("serving/__init__.py", "import training"),
        ("features/dataset.py", "import sqlalchemy"),
        ("models/ranking/top_k.py", "import redis"),
        ("recsys/domains/users/__init__.py", "import recsys.domains.orders"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path: Path, file: str, line: str) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / file
    planted.write_text(planted.read_text() + f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout


def test_no_helper_is_imported_from_a_test_module() -> None:
    """What several tests use has a module of its own: it is found there, and runs no test."""
    of_tests = re.compile(r"^\s*(?:from|import) tests\.(?:\w+\.)*test_\w+", re.MULTILINE)
    found = {
        path.relative_to(ROOT).as_posix(): of_tests.findall(path.read_text())
        for path in (ROOT / "tests").rglob("*.py")
    }
    assert {name: imports for name, imports in found.items() if imports} == {}
    assert of_tests.search("import os\nfrom tests.a.test_b import c\n")
