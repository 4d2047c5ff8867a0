"""The report's figure of time: how each experiment did at every training."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import dates
from matplotlib.ticker import MaxNLocator

from training.report.document import EvaluationReport, Figure
from training.report.plots.drawing import (
    DASHES,
    MARKS,
    SERIES,
    SETTINGS,
    as_svg,
    label_ends,
    new_canvas,
    style_of,
)

__all__ = ["history_plot"]


def history_plot(report: EvaluationReport, label: str) -> str:
    """The primary metric of each version with its interval by the date of its training, this run's last.

    Parameters
    ----------
    label
        The name of the metric for people.

    Returns
    -------
    str
        An SVG; empty when nothing came before.
    """
    verdict = report.verdict
    place = report.ks.index(verdict.k)
    lines: dict[str, list[tuple[datetime, Figure]]] = {}
    for section in report.models:
        past = [
            (one.trained_at, one.figure) for one in report.history if one.experiment == section.experiment
        ]
        if past:
            now = section.views[verdict.view].metrics[verdict.metric][place]
            lines[section.name] = [*past, (report.created_at, now)]
    if not lines:
        return ""
    with mpl.rc_context(SETTINGS):
        canvas, axes = new_canvas()
        for name, points in lines.items():
            style = style_of(report, name)
            colour = SERIES[style.colour]
            days = np.array([moment.replace(tzinfo=None) for moment, _ in points], dtype="datetime64[s]")
            figures = [figure for _, figure in points]
            axes.vlines(
                days,
                [figure.low for figure in figures],
                [figure.high for figure in figures],
                color=colour,
                linewidth=1.2,
                alpha=0.6,
            )
            axes.plot(
                days,
                [figure.value for figure in figures],
                color=colour,
                linestyle=DASHES[style.mark],
                marker=MARKS[style.mark],
                markersize=4.5,
            )
        # matplotlib's dates have no types
        locator: Any = dates.AutoDateLocator(tz=UTC, minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
        axes.set_xlabel("date of the training (UTC)", loc="left")
        axes.set_ylabel(f"{label}@{verdict.k}")
        axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        label_ends(axes, report, [(points[-1][1].value, name) for name, points in lines.items()])
        return as_svg(canvas, "history", f"{label}@{verdict.k} of each training, {verdict.view} products")
