"""What a model computes of one of its arrays and keeps, until the array is another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["computed_once"]

T = TypeVar("T")


def computed_once(owner: object, name: str, source: object, compute: Callable[[], T]) -> T:
    """Return what `compute` gives, kept on `owner` under `name` as long as `source` is the same object.

    It is no part of an artifact. Threads that ask first at the same time may compute it twice.
    """
    kept: tuple[object, T] | None = owner.__dict__.get(f"_kept_{name}")
    if kept is None or kept[0] is not source:
        kept = owner.__dict__[f"_kept_{name}"] = source, compute()
    return kept[1]
