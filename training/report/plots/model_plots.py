"""The report's figures of whole models as inline SVG: differences, list lengths, coverage, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from training.evaluation.significance import format_p
from training.report.document import EvaluationReport, Figure, ModelComparison, ModelSection, ViewName
from training.report.plots.drawing import (
    DASHES,
    FAINT,
    MARKS,
    SERIES,
    SETTINGS,
    as_svg,
    label_ends,
    new_canvas,
    short,
    small_canvas,
    spread,
    style_of,
)

__all__ = ["calibration_plots", "coverage_plot", "curve_plot", "difference_plot"]


def difference_plot(report: EvaluationReport, view: ViewName, metric: str, label: str) -> str:
    """How far each model is from the best of its question, with 95% interval and p-value; best on top."""
    found = sorted((one for one in report.comparisons if one.view == view), key=lambda one: one.difference)
    if not found:
        return ""
    k = report.verdict.k
    with mpl.rc_context({**SETTINGS, "axes.grid.axis": "x"}):
        canvas, axes = new_canvas(height=0.62 + 0.27 * (len(found) + 1))
        axes.axvline(0, color=FAINT, linewidth=1.2)
        names = [found[0].a, *(one.b for one in found)]
        for row, name in enumerate(names):
            style = style_of(report, name)
            shown = [0.0] if row == 0 else [-found[row - 1].difference]
            if row:
                ends = [-found[row - 1].high, -found[row - 1].low]
                axes.plot(ends, [-row, -row], color=SERIES[style.colour], linewidth=2.0)
            axes.plot(shown, [-row], color=SERIES[style.colour], marker=MARKS[style.mark], markersize=6)
        words = ["best", *(f"{-one.difference:+.4f}, {_p_value(one)}" for one in found)]
        for row, text in enumerate(words):
            axes.text(1.03, -row, text.replace("-", "−"), transform=axes.get_yaxis_transform(), va="center")
        axes.set_yticks([-row for row in range(len(names))], [short(name) for name in names])
        axes.set_ylim(-len(names) + 0.4, 0.6)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"difference in {label}@{k} from {short(names[0])}, 95% interval")
        return as_svg(
            canvas, f"difference-{view}", f"Difference of each model from the best, {view} products"
        )


def _p_value(one: ModelComparison) -> str:
    return format_p(one.p_value, one.p_floor)


def curve_plot(report: EvaluationReport, view: ViewName, metric: str, label: str) -> str:
    """`metric` at every list length, one line per model with its 95% band and its name at the end."""
    with mpl.rc_context(SETTINGS):
        canvas, axes = new_canvas()
        ends = []
        for section in report.models:
            style, figures = style_of(report, section.name), _figures(section, view, metric)
            low, mean, high = ([getattr(f, end) for f in figures] for end in ("low", "value", "high"))
            axes.fill_between(report.ks, low, high, color=SERIES[style.colour], alpha=0.18, linewidth=0)
            axes.plot(
                report.ks,
                mean,
                color=SERIES[style.colour],
                linestyle=DASHES[style.mark],
                marker=MARKS[style.mark],
                markersize=4.5,
                linewidth=1.7,
            )
            ends.append((mean[-1], section.name))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(list(report.ks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:g}"))
        axes.set_xlabel("list length k")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        label_ends(axes, report, ends)
        return as_svg(
            canvas, f"curve-{view}-{metric}", f"{label} at list lengths {report.ks}, {view} products"
        )


def coverage_plot(report: EvaluationReport, view: ViewName, metric: str, label: str) -> str:
    """Accuracy against the share of the catalogue that is displayed to anybody, at the primary k."""
    place, k = report.ks.index(report.verdict.k), report.verdict.k
    with mpl.rc_context(SETTINGS):
        canvas, axes = new_canvas()
        shares = [max(section.views[view].coverage[place], 1e-6) for section in report.models]
        for section, share in zip(report.models, shares, strict=True):
            figure, style = _figures(section, view, metric)[place], style_of(report, section.name)
            colour = SERIES[style.colour]
            axes.plot([share, share], [figure.low, figure.high], color=colour, linewidth=1.6)
            axes.plot([share], [figure.value], color=colour, marker=MARKS[style.mark], markersize=7)
        axes.set_xscale("log")
        low, high = math.floor(math.log10(min(shares))), math.ceil(math.log10(max(shares) * 1.0001))
        axes.set_xlim(10.0**low * 0.8, 10.0**high * 1.25)
        axes.xaxis.set_major_locator(FixedLocator([10.0**e for e in range(low, high + 1)]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g}%"))
        axes.set_xlabel(f"share of the catalogue in anybody's first {k} places")
        axes.set_ylabel(f"{label}@{k}")
        axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        heights = spread(axes, [_figures(one, view, metric)[place].value for one in report.models])
        for section, share, height in zip(report.models, shares, heights, strict=True):
            left = math.log10(share) > (low + high) / 2
            axes.annotate(
                short(section.name),
                (share, height),
                xycoords=axes.get_xaxis_transform(),
                xytext=(-7 if left else 7, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                fontsize=8,
                color=SERIES[style_of(report, section.name).colour],
            )
        return as_svg(
            canvas, f"coverage-{view}-{metric}", f"{label}@{k} against catalogue coverage, {view} products"
        )


def calibration_plots(report: EvaluationReport, view: ViewName) -> dict[str, str]:
    """Observed share against predicted chance, a small multiple for each model, all on the same axes."""
    shown = {
        section.name: section.views[view].reliability
        for section in report.models
        if section.views[view].reliability is not None
    }
    bins = [one for part in shown.values() if part is not None for one in part.bins]
    top = 1.08 * max([0.01, *(max(one.predicted, one.observed) for one in bins)])
    drawn = {}
    for name, part in shown.items():
        if part is None:
            continue
        style = style_of(report, name)
        with mpl.rc_context({**SETTINGS, "font.size": 8.0}):
            canvas, axes = small_canvas()
            axes.plot([0, top], [0, top], color=FAINT, linewidth=0.8)
            axes.plot(
                [one.predicted for one in part.bins],
                [one.observed for one in part.bins],
                color=SERIES[style.colour],
                marker=MARKS[style.mark],
                markersize=3.5,
                linewidth=1.2,
            )
            axes.set_xlim(0, top)
            axes.set_ylim(0, top)
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_locator(MaxNLocator(3))
            drawn[name] = as_svg(
                canvas, f"calibration-{view}-{name}", f"Calibration of {name}, {view} products"
            )
    return drawn


def _figures(section: ModelSection, view: ViewName, metric: str) -> Sequence[Figure]:
    return section.views[view].metrics[metric]
