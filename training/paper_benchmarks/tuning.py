"""Settings chosen on a validation fold, one parameter after the other, and only for gains above the noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from training.paper_benchmarks.chosen_settings import SearchSpace
from training.paper_benchmarks.runner import Result

__all__ = ["GAIN", "Search", "search"]

GAIN = 0.01
"""Points whose figures differ by less than this, relatively, count as equal; settings may set another."""

Judge = Callable[[Mapping[str, Any]], Result]
"""Fits one model with these parameters on the fold; a Result with its figures of each user."""


@dataclass
class Search:
    """The points judged, in their order, and the parameters that were chosen."""

    chosen: dict[str, Any]
    points: list[Result] = field(default_factory=list)


def search(name: str, space: SearchSpace, judge: Judge, figure: str, *, gain: float = GAIN) -> Search:
    """From `space.start`, step by step: of a step's values the first that the best does not beat by `gain`.

    A step of several parameters tries every combination. What was there counts as the first, so that
    published settings stay unless the fold speaks against them, and of several that it can't tell apart the
    least change is made: a step lists the nearest value first. The note of each point says by how much it
    differs from what was there, and the standard error of that.
    """
    found, now = Search(dict(space.start)), judge(space.start)
    found.points.append(_noted(name, now, f"start: {_listed(found.chosen)}"))
    for step in space.steps:
        tried = [
            ({}, now),
            *((changed, judge({**found.chosen, **changed})) for changed in _changes(step, found.chosen)),
        ]
        found.points += [
            _noted(name, one, f"{_listed(changed)}: {_gain(now, one, figure)}") for changed, one in tried[1:]
        ]
        enough = max(one.figures[figure] for _, one in tried) / (1 + gain)
        changed, now = next(point for point in tried if point[1].figures[figure] >= enough)
        found.chosen |= changed
    found.points.append(_noted(name, now, f"chosen: {_listed(found.chosen)}"))
    return found


def _changes(step: Mapping[str, list[Any]], chosen: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    now = {parameter: chosen[parameter] for parameter in step}
    for values in product(*step.values()):
        changed = dict(zip(step, values, strict=True))
        if changed != now:
            yield changed


def _gain(before: Result, tried: Result, figure: str) -> str:
    differences: npt.NDArray[np.float64] = tried.per_user[figure] - before.per_user[figure]
    error = differences.std(ddof=1) / np.sqrt(differences.size) if differences.size > 1 else 0.0
    scale = 100 / max(before.figures[figure], 1e-12)
    return f"{differences.mean() * scale:+.1f}% ± {error * scale:.1f}"


def _listed(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def _noted(name: str, result: Result, note: str) -> Result:
    return Result(name, result.figures, result.fit_seconds, result.peak_rss_mib, note)
