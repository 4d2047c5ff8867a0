"""Folders stay small, tests mirror the packages, and no modules import each other in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("recsys", "features", "models", "training", "serving")
BESIDE_THE_PACKAGES = {"architecture", "journeys", "notebooks", "performance", "support"}
MOST_MODULES = 15
GROWING = ("recsys/database/migrations/versions",)
"""Folders that hold a history: a change of the schema adds a module, and none goes."""


def crowded(root: Path, tops: tuple[str, ...]) -> list[str]:
    """Folders below `tops` with more than `MOST_MODULES` modules, `__init__.py` not counted."""
    found = []
    for top in tops:
        for folder in sorted({path.parent for path in (root / top).rglob("*.py")}):
            modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
            if len(modules) > MOST_MODULES and folder.relative_to(root).as_posix() not in GROWING:
                found.append(f"{folder.relative_to(root).as_posix()} holds {len(modules)} modules")
    return found


def folders_without_package(root: Path) -> list[str]:
    """Folders of tests that are neither those of a package nor listed."""
    found = []
    for folder in sorted({path.parent for path in (root / "tests").rglob("*.py")}):
        place = folder.relative_to(root / "tests")
        if place.parts and place.parts[0] not in BESIDE_THE_PACKAGES and not (root / place).is_dir():
            found.append(f"tests/{place.as_posix()} mirrors no package")
    return found


def imported_at_run_time(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports of a module and of its functions, without those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from imported_at_run_time(node)


def import_graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """For each module (dotted name) those of `sources` that it imports."""
    graph: dict[str, set[str]] = {name: set() for name in sources}
    for name, source in sources.items():
        for node in imported_at_run_time(ast.parse(source)):
            if isinstance(node, ast.Import):
                targets = {alias.name for alias in node.names}
            else:
                members = {f"{node.module}.{alias.name}" for alias in node.names}
                targets = {each if each in sources else str(node.module) for each in members}
            graph[name] |= {each for each in targets if each in sources and each != name}
    return graph


def circle(sources: Mapping[str, str]) -> str:
    """One circle of imports as `a -> b -> a`; empty without one."""
    try:
        TopologicalSorter(import_graph(sources)).prepare()
    except CycleError as error:
        return " -> ".join(reversed(error.args[1]))
    return ""


def sources_of(root: Path) -> dict[str, str]:
    """The source of each module of the packages by its dotted name."""
    paths = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    names = (".".join(path.relative_to(root).with_suffix("").parts) for path in paths)
    return {name.removesuffix(".__init__"): path.read_text() for name, path in zip(names, paths, strict=True)}


def test_no_folder_is_crowded() -> None:
    assert crowded(ROOT, (*PACKAGES, "tests")) == []


def test_tests_mirror_the_packages() -> None:
    assert folders_without_package(ROOT) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(sources_of(ROOT)) == ""


def test_a_crowded_folder_and_a_folder_without_package_are_named(tmp_path: Path) -> None:
    for place in ("serving/a", "tests/serving/a", "tests/serving/b", "tests/support"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "__init__.py").touch()
    for number in range(MOST_MODULES):
        (tmp_path / "serving" / "a" / f"m{number}.py").touch()
    assert crowded(tmp_path, ("serving", "tests")) == []
    (tmp_path / "serving" / "a" / "more.py").touch()
    assert crowded(tmp_path, ("serving", "tests")) == ["serving/a holds 16 modules"]
    assert folders_without_package(tmp_path) == ["tests/serving/b mirrors no package"]


@pytest.mark.parametrize(
    ("b", "expected"),
    [
        ("from p import a", "p.a -> p.b -> p.a"),
        ("def f():\n    from p.a import x", "p.a -> p.b -> p.a"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p import a", ""),
        ("import json", ""),
    ],
)
def test_a_circle_is_named(b: str, expected: str) -> None:
    found = circle({"p": "", "p.a": "from p.b import y", "p.b": b})
    assert set(found.split(" -> ")) == set(expected.split(" -> "))
