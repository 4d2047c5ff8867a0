"""The report's figures of parts: each segment as a row of a forest plot, and the exposure curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from training.report.document import EvaluationReport, ViewName
from training.report.plots.drawing import (
    DASHES,
    FAINT,
    MARKS,
    SERIES,
    SETTINGS,
    Style,
    as_svg,
    new_canvas,
    style_of,
)
from training.report.sections import SegmentSection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["exposure_plot", "forest_metric", "forest_plot"]

ROW, MOST_MODELS = 0.34, 3
"""Inches of a segment, and how many models it shows: more would lie on each other."""
LONGEST = 30


def forest_metric(metric: str) -> str:
    """The metric of the forest plot: segments have three of them."""
    return metric if metric in {"ndcg", "recall", "hit_rate"} else "ndcg"


def forest_plot(report: EvaluationReport, view: ViewName, metric: str, label: str) -> str:
    """`metric` of the best models in each segment with 95% intervals and n; hollow where users are few."""
    metric = forest_metric(metric)
    models = [one for one in report.models if one.views[view].segments][:MOST_MODELS]
    if not models:
        return ""
    rows: list[tuple[str, list[SegmentSection | None]]] = []
    for segment in models[0].views[view].segments:
        same = [
            next(
                (
                    one
                    for one in m.views[view].segments
                    if (one.kind, one.name) == (segment.kind, segment.name)
                ),
                None,
            )
            for m in models
        ]
        rows.append((f"price {segment.name}" if segment.kind == "price" else segment.name, same))
    if view == "new" and any(
        one.guests for one in models
    ):  # guests are recommended what their session has not seen
        rows.append(("guests", [one.guests for one in models]))
    step = 0.3 if len(models) < 3 else 0.24
    with mpl.rc_context({**SETTINGS, "axes.grid.axis": "x"}):
        canvas, axes = new_canvas(height=0.7 + ROW * len(rows))
        for i, model in enumerate(models):
            above = step * ((len(models) - 1) / 2 - i)
            parts = [(above - place, same[i]) for place, (_, same) in enumerate(rows)]
            for small in (False, True):
                _draw_parts(
                    axes,
                    [(y, part) for y, part in parts if part],
                    metric,
                    small,
                    style_of(report, model.name),
                )
        for place, (_, same) in enumerate(rows):
            users = next((part.users for part in same if part is not None), 0)
            axes.text(
                1.02, -place, f"{users:,}", transform=axes.get_yaxis_transform(), va="center", fontsize=8
            )
        axes.text(1.02, 0.62, "n", transform=axes.get_yaxis_transform(), va="bottom", fontsize=8)
        axes.set_yticks([-place for place in range(len(rows))], [_words(name) for name, _ in rows])
        axes.set_ylim(-len(rows) + 0.4, 0.6)
        axes.set_xlim(left=-0.015 * axes.get_xlim()[1])  # a mark at zero is seen whole
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(axis="y", length=0)
        for place in range(1, len(rows)):
            if _kind(rows[place - 1][1]) != _kind(rows[place][1]):
                axes.axhline(0.5 - place, color=FAINT, linewidth=0.6)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{label}@{report.verdict.k}")
        return as_svg(canvas, f"forest-{view}", f"{label} by segment, {view} products")


def _draw_parts(
    axes: Axes, parts: Sequence[tuple[float, SegmentSection]], metric: str, small: bool, style: Style
) -> None:
    """The figures of one model at these heights, of the small segments or of the others."""
    shown = [(y, part.figures[metric]) for y, part in parts if part.small == small and metric in part.figures]
    shown = [(y, figure) for y, figure in shown if figure.value is not None]
    if not shown:
        return
    colour, alpha = SERIES[style.colour], 0.45 if small else 1.0
    heights = [y for y, _ in shown]
    low, high = ([getattr(figure, end) or 0.0 for _, figure in shown] for end in ("low", "high"))
    axes.hlines(heights, low, high, color=colour, linewidth=1.5, alpha=alpha)
    axes.plot(
        [figure.value or 0.0 for _, figure in shown],
        heights,
        color=colour,
        linestyle="none",
        marker=MARKS[style.mark],
        markersize=4.5,
        mfc="none" if small else colour,
    )


def exposure_plot(report: EvaluationReport, view: ViewName, metric: str, label: str) -> str:
    """Share of all places that the most displayed products fill: the Lorenz curve read from its upper end."""
    least = 1 / max(1, report.data.train_items)
    with mpl.rc_context(SETTINGS):
        canvas, axes = new_canvas()
        for section in report.models:
            exposure, style = section.views[view].exposure, style_of(report, section.name)
            if exposure is None:
                continue
            points = [
                (1 - x, 1 - y)
                for x, y in zip(exposure.catalogue, exposure.places, strict=True)
                if 1 - x >= 0.99 * least
            ]
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                color=SERIES[style.colour],
                linestyle=DASHES[style.mark],
                marker=MARKS[style.mark],
                markersize=4.5,
                markevery=0.12,
                linewidth=1.7,
            )
        equal = np.geomspace(least, 1, 60)
        axes.plot(equal, equal, color=FAINT, linewidth=0.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g}%"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:.0f}%"))
        axes.set_ylim(-0.02, 1.04)
        axes.set_xlabel("share of the catalogue, most displayed first")
        axes.set_ylabel("share of all places")
        return as_svg(canvas, f"exposure-{view}", f"Exposure of the catalogue, {view} products")


def _kind(same: list[SegmentSection | None]) -> str:
    return next(one.kind for one in same if one is not None)


def _words(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
