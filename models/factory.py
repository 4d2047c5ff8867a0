"""From an algorithm's name to a model: built in or brought by a third party, found by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from models.base import Recommender
from models.registry.artifact import read_header
from recsys.errors import Invalid
from recsys.processes.installed import installed

__all__ = ["GROUP", "algorithms", "create", "load", "recommender_class"]

GROUP = "recsys.models"
"""The entry-point group; an entry's name is the algorithm's, its object a subclass of Recommender."""


def algorithms() -> tuple[str, ...]:
    """The names of all installed algorithms, sorted; none of them is imported."""
    return tuple(sorted(_entries()))


def recommender_class(algorithm: str) -> type[Recommender]:
    """The class behind a name. Raises Invalid for an unknown name, or one whose entry is no model."""
    entries = _entries()
    if algorithm not in entries:
        raise Invalid(
            f"no algorithm is named {algorithm!r}; known: {', '.join(sorted(entries)) or 'none'}. "
            f"An algorithm is added by an installed package with an entry point in the group {GROUP}"
        )
    entry = entries[algorithm]
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise Invalid(f"algorithm {algorithm!r} cannot be loaded from {entry.value} ({error})") from error
    if not (isinstance(found, type) and issubclass(found, Recommender)):
        raise Invalid(
            f"the entry point {entry.value} of algorithm {algorithm!r} is not a subclass of Recommender"
        )
    if found.algorithm != algorithm:
        raise Invalid(f"{entry.value} is registered as {algorithm!r} but its class says {found.algorithm!r}")
    return found


def create(algorithm: str, parameters: Mapping[str, Any] | None = None) -> Recommender:
    """An unfitted model. Raises Invalid for an unknown algorithm or parameter, or a value out of range."""
    cls = recommender_class(algorithm)
    known = sorted(field.name for field in fields(cls.Parameters))
    given = dict(parameters or {})
    if unknown := sorted(given.keys() - set(known)):
        raise Invalid(
            f"algorithm {algorithm!r} has no parameter {', '.join(map(repr, unknown))}; "
            f"known: {', '.join(known) or 'none'}"
        )
    return cls(cls.Parameters(**given))


def load(folder: Path, *, verify: bool = True) -> Recommender:
    """The fitted model of an artifact of any algorithm. Raises NotFound or Invalid; see Recommender.load."""
    algorithm = read_header(folder).get("algorithm")
    if not isinstance(algorithm, str):
        raise Invalid(f"{folder} does not say which algorithm it holds; train the model again")
    return recommender_class(algorithm).load(folder, verify=verify)


def _entries() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in installed(GROUP):
        before = found.setdefault(entry.name, entry)
        if before.value != entry.value:
            raise Invalid(
                f"two installed packages bring an algorithm {entry.name!r}: {before.value} and "
                f"{entry.value}; uninstall one of them"
            )
    return found
