"""The report's figure of time: how each experiment did at every training."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.ticker import MaxNLocator

from training.evaluation.report.document import Figure, Report
from training.evaluation.report.drawing import (
    DASHES,
    MARKS,
    SERIES,
    SETTINGS,
    as_svg,
    mark_of,
    new_canvas,
)

__all__ = ["history_plot"]


def history_plot(report: Report, label: str) -> str:
    """The primary metric of each version with its interval, this run's last; empty when nothing came before.

    Versions stand one after the other, not by date: trainings may be hours or months apart.
    """
    verdict = report.verdict
    place = report.ks.index(verdict.k)
    lines: dict[str, list[Figure]] = {}
    for section in report.models:
        past = [one.figure for one in report.history if one.experiment == section.experiment]
        if past:
            lines[section.name] = [*past, section.views[verdict.view].metrics[verdict.metric][place]]
    if not lines:
        return ""
    with mpl.rc_context(SETTINGS):
        canvas, axes = new_canvas()
        for name, figures in lines.items():
            style = mark_of(report, name)
            ends = range(1 - len(figures), 1)  # this run is 0, the one before -1
            for end, figure in zip(ends, figures, strict=True):
                axes.plot(
                    [end, end], [figure.low, figure.high], color=SERIES[style], linewidth=1.2, alpha=0.6
                )
            axes.plot(
                list(ends),
                [figure.value for figure in figures],
                color=SERIES[style],
                linestyle=DASHES[style],
                marker=MARKS[style],
                markersize=4.5,
            )
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("trainings ago (0: this one)")
        axes.set_ylabel(f"{label}@{verdict.k}")
        axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return as_svg(canvas, "history", f"{label}@{verdict.k} of each training, {verdict.view} products")
