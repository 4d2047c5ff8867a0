"""Charts as SVG, drawn on the server without scripts or inline styles.

Colours are classes of `components.css`, so that a chart follows the theme. Each chart has `role="img"` and a
`title` that states what it displays; the numbers stand in the page beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup, escape

__all__ = [
    "ScoredPart",
    "TimeSpan",
    "bar",
    "interval",
    "sparkline",
    "stacked",
    "time_span",
]

_SPARK_WIDTH, _SPARK_HEIGHT = 120.0, 28.0
_BAR_WIDTH, _BAR_HEIGHT = 200.0, 10.0


class ScoredPart(Protocol):
    """One part of a score."""

    @property
    def label(self) -> str:
        """Its name."""

    @property
    def value(self) -> float:
        """What it adds."""


@dataclass(frozen=True)
class TimeSpan:
    """A part of a calendar.

    Attributes
    ----------
    start, end
        From 0 to 1.
    open_end
        Whether it lasts beyond the calendar.
    """

    start: float
    end: float
    open_end: bool = False


def bar(value: float, most: float, label: str, *, series: int = 0) -> Markup:
    """A horizontal bar: `value` as a part of `most`; less than nothing is drawn as nothing."""
    share = 0.0 if most <= 0 else min(1.0, max(0.0, value / most))
    return _svg(
        _BAR_WIDTH,
        _BAR_HEIGHT,
        label,
        _rect(0, 0, _BAR_WIDTH, _BAR_HEIGHT, "chart-track", radius=3)
        + _rect(0, 0, _BAR_WIDTH * share, _BAR_HEIGHT, f"chart-fill-{series % 8}", radius=3),
        "chart chart-bar",
        stretch=True,
    )


def interval(value: float, low: float, high: float, span: tuple[float, float], label: str) -> Markup:
    """A confidence interval with its estimate on a scale; a line marks zero where the scale holds it."""
    least, most = span
    width = (most - least) or 1.0

    def place(x: float) -> float:
        return _BAR_WIDTH * min(1.0, max(0.0, (x - least) / width))

    middle = _BAR_HEIGHT / 2
    marks = _line(place(low), middle, place(high), middle, "chart-interval")
    if least <= 0 <= most:
        marks = _line(place(0), 0, place(0), _BAR_HEIGHT, "chart-axis") + marks
    marks += Markup('<circle cx="{}" cy="{}" r="4" class="chart-point"/>').format(
        _n(place(value)), _n(middle)
    )
    return _svg(_BAR_WIDTH, _BAR_HEIGHT, label, marks, "chart chart-bar")


def time_span(span: TimeSpan, label: str, *, weeks: int) -> Markup:
    """A period on a calendar of so many weeks, with a line at the beginning of each."""
    body = _rect(0, 0, _BAR_WIDTH, _BAR_HEIGHT, "chart-track")
    body += _rect(
        _BAR_WIDTH * span.start,
        1,
        max(1.0, _BAR_WIDTH * (span.end - span.start)),
        _BAR_HEIGHT - 2,
        "chart-fill-2" if span.open_end else "chart-fill-0",
    )
    for week in range(1, weeks):
        x = _BAR_WIDTH * week / weeks
        body += _line(x, 0, x, _BAR_HEIGHT, "chart-grid")
    return _svg(_BAR_WIDTH, _BAR_HEIGHT, label, body, "chart chart-bar", stretch=True)


def sparkline(values: Sequence[float], label: str) -> Markup:
    """A small line without axes; the last value has a dot."""
    if not values:
        return Markup("")
    points = _scaled(values, _SPARK_WIDTH - 6, _SPARK_HEIGHT - 6, min(0.0, *values), max(values))
    path = " ".join(f"{_n(x + 3)},{_n(y + 3)}" for x, y in points)
    last_x, last_y = points[-1]
    body = Markup('<polyline points="{}" class="chart-line chart-stroke-0"/>').format(path)
    body += Markup('<circle cx="{}" cy="{}" r="2.5" class="chart-fill-0"/>').format(
        _n(last_x + 3), _n(last_y + 3)
    )
    return _svg(_SPARK_WIDTH, _SPARK_HEIGHT, label, body, "chart chart-spark")


def stacked(parts: Sequence[ScoredPart], label: str, *, most: float | None = None) -> Markup:
    """One bar of parts in a row, each in a colour of its own; parts below zero are left out.

    Parameters
    ----------
    label
        The text of the chart for screen readers.
    most
        The sum that fills the whole width; by default that of the parts.
    """
    positive = [(number, part) for number, part in enumerate(parts) if part.value > 0]
    total = most if most is not None else sum(part.value for _, part in positive)
    body, x = _rect(0, 0, _BAR_WIDTH, _BAR_HEIGHT, "chart-track", radius=3), 0.0
    for number, part in positive if total > 0 else ():
        width = min(_BAR_WIDTH - x, _BAR_WIDTH * part.value / total)
        body += Markup("<g><title>{}</title>{}</g>").format(
            f"{part.label}: {part.value:.3g}", _rect(x, 0, width, _BAR_HEIGHT, f"chart-fill-{number % 8}")
        )
        x += width
    return _svg(_BAR_WIDTH, _BAR_HEIGHT, label, body, "chart chart-bar", stretch=True)


def _svg(
    width: float, height: float, label: str, body: Markup, classes: str, *, stretch: bool = False
) -> Markup:
    # only shapes are stretched: letters and circles would lose their form
    ratio = Markup(' preserveAspectRatio="{}"').format("none" if stretch else "xMinYMid")
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}"{} role="img" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(classes, _n(width), _n(height), ratio, label, label, body)


def _scaled(
    values: Sequence[float], width: float, height: float, least: float, most: float
) -> list[tuple[float, float]]:
    """Places of the values from left to right, the largest at the top."""
    span, steps = (most - least) or 1.0, max(1, len(values) - 1)
    return [(width * i / steps, height * (1 - (value - least) / span)) for i, value in enumerate(values)]


def _rect(x: float, y: float, width: float, height: float, classes: str, *, radius: int = 0) -> Markup:
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="{}" class="{}"/>').format(
        _n(x), _n(y), _n(width), _n(height), radius, escape(classes)
    )


def _line(x1: float, y1: float, x2: float, y2: float, classes: str) -> Markup:
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(
        _n(x1), _n(y1), _n(x2), _n(y2), classes
    )


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
