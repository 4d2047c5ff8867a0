"""A class name occurs once in the project: a reader knows the class without the import above it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("recsys", "features", "models", "training", "serving")

# Folders whose duplicates are not renamed yet; shrinks to nothing.
NOT_YET = ("serving",)


def repeated_classes(modules: Iterable[tuple[str, str]]) -> list[str]:
    """One line for each class name that several classes have; modules: path and source of each."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, source in modules:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    return [f"{name}: {', '.join(where)}" for name, where in sorted(places.items()) if len(where) > 1]


def _sources() -> list[tuple[str, str]]:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    named = [(path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths]
    return [(name, source) for name, source in named if not name.startswith(NOT_YET)]


def test_a_class_name_occurs_once() -> None:
    assert repeated_classes(_sources()) == []


def test_a_repeated_class_name_is_reported_with_its_places() -> None:
    planted = [
        ("recsys/a.py", "class Plan:\n    pass\n"),
        ("models/b.py", "def f():\n    class Plan:\n        pass\n"),
        ("models/c.py", "class SplitPlan:\n    pass\n"),
    ]
    assert repeated_classes(planted) == ["Plan: recsys/a.py:1, models/b.py:2"]
    name, source = _sources()[0]
    assert repeated_classes([(name, source + "\nclass Twice: ...\nclass Twice: ...\n")]) != []
