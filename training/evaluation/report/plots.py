"""The report's figures of whole models as inline SVG: means, list lengths, coverage, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from training.evaluation.report.document import Figure, ModelSection, Report, ViewName
from training.evaluation.report.drawing import (
    DASHES,
    FAINT,
    MARKS,
    SERIES,
    SETTINGS,
    as_svg,
    mark_of,
    new_canvas,
    short,
)

__all__ = ["coverage_plot", "curve_plot", "dot_plot", "reliability_plot"]


def curve_plot(report: Report, view: ViewName, metric: str, label: str) -> str:
    """`metric` at every list length, one line per model with its 95% band."""
    with mpl.rc_context(SETTINGS):
        canvas, axes = new_canvas()
        for section in report.models:
            style, figures = mark_of(report, section.name), _figures(section, view, metric)
            low, mean, high = ([getattr(f, end) for f in figures] for end in ("low", "value", "high"))
            axes.fill_between(report.ks, low, high, color=SERIES[style], alpha=0.18, linewidth=0)
            axes.plot(
                report.ks,
                mean,
                color=SERIES[style],
                linestyle=DASHES[style],
                marker=MARKS[style],
                markersize=4.5,
                linewidth=1.7,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(list(report.ks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:g}"))
        axes.set_xlabel("list length k")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return as_svg(
            canvas, f"curve-{view}-{metric}", f"{label} at list lengths {report.ks}, {view} products"
        )


def dot_plot(report: Report, view: ViewName, metric: str, label: str) -> str:
    """Each model's mean at the primary k with its 95% interval, best on top."""
    place = report.ks.index(report.verdict.k)
    ranked = sorted(report.models, key=lambda section: _figures(section, view, metric)[place].value)
    with mpl.rc_context({**SETTINGS, "axes.grid.axis": "x"}):
        canvas, axes = new_canvas(height=0.9 + 0.42 * len(ranked))
        for row, section in enumerate(ranked):
            figure, style = _figures(section, view, metric)[place], mark_of(report, section.name)
            axes.plot(
                [figure.low, figure.high],
                [row, row],
                color=SERIES[style],
                linewidth=2.2,
                solid_capstyle="round",
            )
            axes.plot([figure.value], [row], color=SERIES[style], marker=MARKS[style], markersize=7)
            axes.annotate(
                f"{figure.value:.3f}",
                (figure.high, row),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_yticks(range(len(ranked)), [short(section.name) for section in ranked])
        axes.set_ylim(-0.6, len(ranked) - 0.4)
        ends = [_figures(section, view, metric)[place].high for section in ranked]
        axes.set_xlim(0, max([*ends, 0.001]) * 1.18)  # room for the figure beside the longest interval
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{label}@{report.verdict.k}")
        return as_svg(
            canvas, f"dots-{view}-{metric}", f"{label} of each model with its interval, {view} products"
        )


def coverage_plot(report: Report, view: ViewName, metric: str, label: str) -> str:
    """Accuracy against the share of the catalogue that is shown to anybody, at the primary k."""
    place, k = report.ks.index(report.verdict.k), report.verdict.k
    with mpl.rc_context(SETTINGS):
        canvas, axes = new_canvas()
        shares = [max(section.views[view].coverage[place], 1e-6) for section in report.models]
        for section, share in zip(report.models, shares, strict=True):
            figure, style = _figures(section, view, metric)[place], mark_of(report, section.name)
            axes.plot([share, share], [figure.low, figure.high], color=SERIES[style], linewidth=1.6)
            axes.plot(
                [share],
                [figure.value],
                color=SERIES[style],
                marker=MARKS[style],
                markersize=7,
                linestyle="none",
            )
        axes.set_xscale("log")
        low, high = math.floor(math.log10(min(shares))), math.ceil(math.log10(max(shares) * 1.0001))
        axes.set_xlim(10.0**low * 0.8, 10.0**high * 1.25)
        axes.xaxis.set_major_locator(FixedLocator([10.0**e for e in range(low, high + 1)]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g}%"))
        axes.set_xlabel(f"share of the catalogue shown to anybody, first {k} places")
        axes.set_ylabel(f"{label}@{k}")
        axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return as_svg(
            canvas, f"coverage-{view}-{metric}", f"{label}@{k} against catalogue coverage, {view} products"
        )


def reliability_plot(report: Report) -> str:
    """Observed against predicted chance of each model; on the diagonal a chance means what it says."""
    with mpl.rc_context(SETTINGS):
        canvas, axes = new_canvas()
        top = 0.01
        for section in report.models:
            if section.reliability is None:
                continue
            style, bins = mark_of(report, section.name), section.reliability.bins
            predicted, observed = [b.predicted for b in bins], [b.observed for b in bins]
            top = max([top, *predicted, *observed])
            axes.plot(
                predicted,
                observed,
                color=SERIES[style],
                linestyle=DASHES[style],
                marker=MARKS[style],
                markersize=4.5,
            )
        axes.plot([0, top], [0, top], color=FAINT, linewidth=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("predicted chance")
        axes.set_ylabel("share taken up")
        return as_svg(canvas, "reliability", "Share taken up against predicted chance")


def _figures(section: ModelSection, view: ViewName, metric: str) -> Sequence[Figure]:
    return section.views[view].metrics[metric]
