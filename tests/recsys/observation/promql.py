"""Evaluates the part of PromQL that the alert rules use, on scrapes of the real `/metrics`.

`promql_parser` parses; here is only the meaning. Differences to Prometheus: `rate` and `increase` use the
samples of their range and do not extrapolate, and a division by 0 is no number.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import promql_parser as ast

from tests.recsys.observation.scrapes import Labels, Scrape

__all__ = ["ScrapeHistory", "evaluate", "metric_names"]

Vector = Mapping[Labels, float]
Value = float | Vector
_TARGET = frozenset({("job", "recsys"), ("instance", "api:8000")})
_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else math.nan,
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "min": min,
    "max": max,
    "count": len,
}


@dataclass
class ScrapeHistory:
    """Scrapes of one target in the order of their times (Unix seconds)."""

    scrapes: list[tuple[float, Scrape]] = field(default_factory=list)

    def add(self, at: float, scrape: Scrape | None) -> None:
        """Add a scrape, with the labels and the `up` of Prometheus; None for a target that did not answer."""
        samples = {(name, labels | _TARGET): value for (name, labels), value in (scrape or {}).items()}
        self.scrapes.append((at, samples | {("up", _TARGET): float(scrape is not None)}))

    def newest(self, at: float) -> Scrape:
        """The last scrape of the five minutes before `at`; empty without one."""
        return next((scrape for time, scrape in reversed(self.scrapes) if at - 300 <= time <= at), {})

    def between(self, start: float, end: float) -> list[Scrape]:
        """The scrapes of a range, the oldest first."""
        return [scrape for time, scrape in self.scrapes if start <= time <= end]


def metric_names(expression: str) -> set[str]:
    """The metrics that an expression reads. Raises ValueError where it is no PromQL."""
    names: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, ast.VectorSelector):
            names.add(node.name)

    ast.walk(ast.parse(expression), visit)
    return names


def evaluate(expression: str, history: ScrapeHistory, at: float) -> Vector:
    """The series that an alert with this expression would fire for at a time."""
    value = _value(ast.parse(expression), history, at)
    assert not isinstance(value, float), f"{expression} is a number, and no alert"
    return value


def _value(node: Any, history: ScrapeHistory, at: float) -> Value:
    if isinstance(node, ast.NumberLiteral):
        return float(node.val)
    if isinstance(node, ast.ParenExpr):
        return _value(node.expr, history, at)
    if isinstance(node, ast.VectorSelector):
        return _select(node, history.newest(at))
    if isinstance(node, ast.Call):
        return _call(node, history, at)
    if isinstance(node, ast.AggregateExpr):
        return _aggregate(node, _vector(node.expr, history, at))
    assert isinstance(node, ast.BinaryExpr), f"{type(node).__name__} is not supported"
    return _combine(node, _value(node.lhs, history, at), _value(node.rhs, history, at))


def _vector(node: Any, history: ScrapeHistory, at: float) -> Vector:
    value = _value(node, history, at)
    assert not isinstance(value, float)
    return value


def _select(selector: Any, scrape: Scrape) -> Vector:
    return {
        labels: value
        for (name, labels), value in scrape.items()
        if name == selector.name and all(_matches(each, dict(labels)) for each in selector.matchers.matchers)
    }


def _matches(matcher: Any, labels: Mapping[str, str]) -> bool:
    present = labels.get(matcher.name, "")
    if matcher.op in (ast.MatchOp.Equal, ast.MatchOp.NotEqual):
        return (present == matcher.value) == (matcher.op == ast.MatchOp.Equal)
    return bool(re.fullmatch(matcher.value, present)) == (matcher.op == ast.MatchOp.Re)


def _call(call: Any, history: ScrapeHistory, at: float) -> Value:
    name = call.func.name
    if name == "time":
        return at
    if name == "abs":
        return {labels: abs(value) for labels, value in _vector(call.args[0], history, at).items()}
    if name == "clamp_min":
        least = _value(call.args[1], history, at)
        assert isinstance(least, float)
        return {labels: max(value, least) for labels, value in _vector(call.args[0], history, at).items()}
    assert name in ("rate", "increase"), f"{name} is not supported"
    selector, seconds = call.args[0].vector_selector, call.args[0].range / timedelta(seconds=1)
    series: dict[Labels, list[float]] = {}
    for scrape in history.between(at - seconds, at):
        for labels, value in _select(selector, scrape).items():
            series.setdefault(labels, []).append(value)
    divisor = seconds if name == "rate" else 1.0
    return {labels: _growth(values) / divisor for labels, values in series.items() if len(values) > 1}


def _growth(values: Sequence[float]) -> float:
    """The sum of the steps upwards; a counter that fell began again at 0."""
    return sum(later - earlier if later >= earlier else later for earlier, later in pairwise(values))


def _aggregate(node: Any, vector: Vector) -> Vector:
    assert node.modifier is None or node.modifier.type == ast.AggModifierType.By
    by = set() if node.modifier is None else set(node.modifier.labels)
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        groups.setdefault(frozenset(pair for pair in labels if pair[0] in by), []).append(value)
    return {labels: float(_AGGREGATES[str(node.op)](values)) for labels, values in groups.items()}


def _combine(node: Any, left: Value, right: Value) -> Value:
    sign, modifier = str(node.op), node.modifier
    assert modifier is None or modifier.matching is None, "on and ignoring are not supported"
    assert modifier is None or not modifier.return_bool, "bool is not supported"
    if isinstance(left, float) and isinstance(right, float):
        return _ARITHMETIC[sign](left, right)
    if isinstance(left, float):
        assert not isinstance(right, float)
        return _filtered_pairs(sign, {key: (left, value, value) for key, value in right.items()})
    if isinstance(right, float):
        return _filtered_pairs(sign, {key: (value, right, value) for key, value in left.items()})
    if sign == "or":
        return {**right, **left}
    shared = {key: (left[key], right[key], left[key]) for key in left.keys() & right.keys()}
    return {key: left[key] for key in shared} if sign == "and" else _filtered_pairs(sign, shared)


def _filtered_pairs(sign: str, pairs: Mapping[Labels, tuple[float, float, float]]) -> Vector:
    """Arithmetic on each pair; for a comparison, the third value of each pair that it lets pass."""
    if sign in _ARITHMETIC:
        return {key: _ARITHMETIC[sign](left, right) for key, (left, right, _) in pairs.items()}
    compare = _COMPARISONS[sign]
    return {key: value for key, (left, right, value) in pairs.items() if compare(left, right)}
