"""Which modules write which columns, and which names of keys each module uses, read from their sources."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from sqlalchemy import Table

from recsys.database.base import Base
from recsys.database.metadata import metadata

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("recsys", "features", "serving", "training", "models")
WRITES = re.compile(r"\b(?:INSERT INTO|UPDATE|COPY)\s+\"?(\w+)\"?\.\"?(\w+)\"?(.*)", re.DOTALL)


@cache
def sources() -> dict[str, ast.Module]:
    """The syntax trees of all modules that run, those of tables, schemas of the database and demos apart."""
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "tables.py" and "migrations" not in path.parts
    }


def written_columns(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """For each table (`schema.name`) the names of columns that some module writes.

    A module writes a column where it names the table's class and gives the column a value (a keyword, an
    attribute, a key of a dict, a field of an input schema of its domain), or where its SQL inserts or
    updates it.
    """
    classes = {mapper.class_.__name__: mapper.class_ for mapper in Base.registry.mappers}
    written: dict[str, set[str]] = defaultdict(set)
    inputs = {folder: _input_fields(trees, folder) for folder in {Path(name).parent for name in trees}}
    for name, tree in trees.items():
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & classes.keys()
        names = _given_names(tree) | inputs[Path(name).parent]
        for each in used:
            written[_table(classes[each]).fullname] |= _columns_of(classes[each], names)
        for text in _texts(tree):
            for match in WRITES.finditer(text):
                table = metadata.tables.get(f"{match[1]}.{match[2]}")
                if table is not None:
                    words = set(re.findall(r"\w+", match[3]))
                    written[table.fullname] |= words & set(table.columns.keys())
    return written


def called_functions(trees: dict[str, ast.Module], module: str) -> dict[str, set[str]]:
    """The files that use each function of `module`, as `module.function` or `cache_module.function`."""
    calls: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in (module, f"cache_{module}")
            ):
                calls[node.attr].add(name)
    return calls


def _table(model: type[Base]) -> Table:
    assert isinstance(model.__table__, Table)
    return model.__table__


def _columns_of(model: type[Base], names: set[str]) -> set[str]:
    # an attribute may have another name than its column
    attributes = {attribute.key: attribute.columns[0].name for attribute in model.__mapper__.column_attrs}
    return {attributes[name] for name in names & attributes.keys()}


def _given_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            names |= {keyword.arg for keyword in node.keywords if keyword.arg}
        elif isinstance(node, ast.Assign | ast.AugAssign):
            for target in _targets(node):
                if isinstance(target, ast.Attribute):
                    names.add(target.attr)
                elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                    names.add(str(target.slice.value))
        elif isinstance(node, ast.Dict):
            names |= {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
            names |= {key.attr for key in node.keys if isinstance(key, ast.Attribute)}
    return names


def _targets(node: ast.Assign | ast.AugAssign) -> Iterable[ast.expr]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        yield from target.elts if isinstance(target, ast.Tuple) else [target]


def _texts(tree: ast.Module) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _input_fields(trees: dict[str, ast.Module], folder: Path) -> set[str]:
    """The fields of the input schemas in the `schemas.py` of a folder."""
    tree = trees.get((folder / "schemas.py").as_posix())
    if tree is None:
        return set()
    return {
        field.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and re.search("In$|Change$|New$|Update$", node.name)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
