"""Docstrings that describe parameters or fields outside of numpydoc's sections."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

__all__ = ["misplaced_entries"]

_SECTIONS = {"Parameters", "Attributes", "Other Parameters", "Returns", "Yields", "Raises"}
_NAMES = r"\*{0,2}(?P<names>\w+(?:, \w+)*)"
_AT_START = re.compile(rf"\s*{_NAMES}(?: ?:(?: |$)|  +\S)")
_INSIDE = re.compile(rf"[.;,] {_NAMES} ?:(?: |$)")
_SHOWN_TO_USERS = {"get", "post", "put", "patch", "delete", "head", "command"}
"""Methods of routers and of Typer applications: what they decorate has its docstring shown as it is."""

Described = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def misplaced_entries(source: str) -> Iterator[str]:
    """Each `name : effect`, at the start of a line or inside of it, that lies in no section.

    The name is that of an argument or a field. Inside of a line it follows a period, a semicolon or a comma;
    there routes and commands may have it.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, Described):
            continue
        lines = (ast.get_docstring(node) or "").splitlines()
        names = _fields(node) if isinstance(node, ast.ClassDef) else _arguments(node)
        in_section = False
        for line, following in zip(lines, [*lines[1:], ""], strict=False):
            if re.fullmatch("-{3,}", following):
                in_section = line in _SECTIONS
            if in_section:
                continue
            at_start = _AT_START.match(line)
            found = [] if at_start is None else [at_start]
            if not _is_shown_to_users(node):
                found += _INSIDE.finditer(line)
            for entry in (each["names"] for each in found):
                if names & set(entry.split(", ")):
                    yield f"line {node.lineno}: {node.name} describes {entry} outside of a section"


def _is_shown_to_users(node: Described) -> bool:
    return any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr in _SHOWN_TO_USERS
        for each in node.decorator_list
    )


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    given = node.args
    stars = [each for each in (given.vararg, given.kwarg) if each is not None]
    return {each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs, *stars)}


def _fields(node: ast.ClassDef) -> set[str]:
    """Annotated and assigned names, the arguments of `__init__`, methods, and what is assigned to self."""
    names = set()
    for part in node.body:
        match part:
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {each.id for each in targets if isinstance(each, ast.Name)}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names |= {name} | (_arguments(part) if name == "__init__" else set())
    for inner in ast.walk(node):
        match inner:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.add(name)
    return names
