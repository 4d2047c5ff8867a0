"""The house rules as functions from a module's source to what is wrong with it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.docstrings import misplaced_entries

LONGEST_FILE = 450
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal"}
COMMIT_OF_SEVERAL = "recsys/database/servers/joint_commit.py"
"""Its parts: what a commit is where it spans several servers."""
ONE_COMMIT_PLACE = "recsys/database/session.py"
ONE_CLOCK = "recsys/clock.py"
WALL_CLOCK = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
}


def broken_rules(name: str, source: str) -> Iterator[str]:
    """Each house rule that the module at `name` (path from the root, with slashes) breaks."""
    tree = ast.parse(source)
    if not ast.get_docstring(tree):
        yield "has no docstring"
    if source.count("\n") > LONGEST_FILE:
        yield f"is longer than {LONGEST_FILE} lines: does it hold two nouns?"
    if Path(name).name in {"utils.py", "helpers.py", "common.py", "misc.py"}:
        yield "is named after nothing it holds"
    yield from misplaced_entries(source)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Call):
            yield from (f"line {line}: {fault}" for fault in _call_faults(name, node))
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module or ""}
            )
            if found := {module.split(".")[0] for module in modules} & FORBIDDEN_MODULES:
                yield f"line {line}: imports {', '.join(sorted(found))}; nothing here is ever pickled"
        if isinstance(node, ast.ExceptHandler) and _swallows(node):
            yield f"line {line}: swallows an error"


def _call_faults(name: str, call: ast.Call) -> Iterator[str]:
    function = call.func
    if isinstance(function, ast.Name) and function.id == "print":
        yield "prints"
    if not isinstance(function, ast.Attribute):
        return
    if function.attr == "commit" and name not in (ONE_COMMIT_PLACE, COMMIT_OF_SEVERAL):
        yield f"commits; only {ONE_COMMIT_PLACE} does"
    owner = function.value
    owner_name = (
        owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    )
    if (owner_name, function.attr) in WALL_CLOCK and name != ONE_CLOCK:
        yield f"reads the time; only {ONE_CLOCK} does"
    if function.attr == "load" and owner_name in {"np", "numpy"}:
        allow = next((k.value for k in call.keywords if k.arg == "allow_pickle"), None)
        if not (isinstance(allow, ast.Constant) and allow.value is False):
            yield "calls np.load without allow_pickle=False"


def _swallows(handler: ast.ExceptHandler) -> bool:
    broad = handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    )
    return broad and all(isinstance(statement, ast.Pass | ast.Continue) for statement in handler.body)
