"""Checks that hyper-parameters share: each refusal names the field, the value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recsys.errors import Invalid

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["check_choice", "check_float", "check_int"]


def check_int(parameters: DataclassInstance, name: str, low: int, high: int) -> None:
    """Raise Invalid unless the field is a whole number in low..high, both included."""
    value = getattr(parameters, name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _refusal(parameters, name, value, f"a whole number from {low} to {high}")


def check_float(
    parameters: DataclassInstance, name: str, low: float, high: float, *, above_low: bool = False
) -> None:
    """Raise Invalid unless the field is a number in low..high (`above_low`: low itself is refused).

    A whole number becomes a float, so that `1` and `1.0` give the same artifact.
    """
    value = getattr(parameters, name)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high or (above_low and value == low):
        bound = f"greater than {low:g}" if above_low else f"from {low:g}"
        raise _refusal(parameters, name, value, f"a number {bound} to {high:g}")
    object.__setattr__(parameters, name, float(value))


def check_choice(parameters: DataclassInstance, name: str, allowed: Sequence[str]) -> None:
    """Raise Invalid unless the field is one of the words in `allowed`."""
    value = getattr(parameters, name)
    if value not in allowed:
        raise _refusal(parameters, name, value, f"one of {', '.join(allowed)}")


def _refusal(parameters: DataclassInstance, name: str, value: object, expected: str) -> Invalid:
    algorithm = type(parameters).__qualname__.removesuffix("Parameters") or "model"
    return Invalid(f"parameter {name} of {algorithm} must be {expected}, not {value!r}", field=name)
