"""The report's figures as inline SVG that takes its colours from the page, to read in dark and in light."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from training.evaluation.report.document import Figure, ModelSection, Report, ViewName

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MARKS", "coverage_plot", "curve_plot", "dot_plot", "mark_of", "reliability_plot"]

INK, FAINT = "#010203", "#040506"
"""Colours that stand in for the page's own; no figure uses them otherwise."""
SERIES = tuple(f"#0a0b{i:02x}" for i in range(8))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""Shape says the same as colour, for those who cannot tell the colours apart."""
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))

WIDTH, HEIGHT = 5.0, 3.1
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "recsys",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def mark_of(report: Report, name: str) -> int:
    """The number of a model's colour and shape; models keep theirs in every figure."""
    return sorted(section.name for section in report.models).index(name) % len(SERIES)


def curve_plot(report: Report, view: ViewName, metric: str, label: str) -> str:
    """`metric` at every list length, one line per model with its 95% band."""
    with mpl.rc_context(SETTINGS):
        canvas, axes = _canvas()
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
        return _svg(canvas, f"curve-{view}-{metric}", f"{label} at list lengths {report.ks}, {view} products")


def dot_plot(report: Report, view: ViewName, metric: str, label: str) -> str:
    """Each model's mean at the primary k with its 95% interval, best on top."""
    place = report.ks.index(report.verdict.k)
    ranked = sorted(report.models, key=lambda section: _figures(section, view, metric)[place].value)
    with mpl.rc_context({**SETTINGS, "axes.grid.axis": "x"}):
        canvas, axes = _canvas(height=0.9 + 0.42 * len(ranked))
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
        axes.set_yticks(range(len(ranked)), [_short(section.name) for section in ranked])
        axes.set_ylim(-0.6, len(ranked) - 0.4)
        ends = [_figures(section, view, metric)[place].high for section in ranked]
        axes.set_xlim(0, max([*ends, 0.001]) * 1.18)  # room for the figure beside the longest interval
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{label}@{report.verdict.k}")
        return _svg(
            canvas, f"dots-{view}-{metric}", f"{label} of each model with its interval, {view} products"
        )


def coverage_plot(report: Report, view: ViewName, metric: str, label: str) -> str:
    """Accuracy against the share of the catalogue that is shown to anybody, at the primary k."""
    place, k = report.ks.index(report.verdict.k), report.verdict.k
    with mpl.rc_context(SETTINGS):
        canvas, axes = _canvas()
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
        axes.set_xlim(10.0**low * 0.9, 10.0**high * 1.1)
        axes.xaxis.set_major_locator(FixedLocator([10.0**e for e in range(low, high + 1)]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g}%"))
        axes.set_xlabel(f"share of the catalogue shown to anybody, first {k} places")
        axes.set_ylabel(f"{label}@{k}")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return _svg(
            canvas, f"coverage-{view}-{metric}", f"{label}@{k} against catalogue coverage, {view} products"
        )


def reliability_plot(report: Report) -> str:
    """Observed against predicted chance of each model; on the diagonal a chance means what it says."""
    with mpl.rc_context(SETTINGS):
        canvas, axes = _canvas()
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
        return _svg(canvas, "reliability", "Share taken up against predicted chance")


def _figures(section: ModelSection, view: ViewName, metric: str) -> Sequence[Figure]:
    return section.views[view].metrics[metric]


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:8]}…{name[-8:]}"


def _canvas(height: float = HEIGHT) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
    return canvas, canvas.subplots()


def _svg(canvas: Canvas, identity: str, title: str) -> str:
    """The figure without prologue or outside names, ids made unique, colours handed to the page."""
    written = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    canvas.savefig(written, format="svg", transparent=True, metadata=nothing)
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{identity}-', svg)
    svg = svg.replace("url(#", f"url(#{identity}-").replace('href="#', f'href="#{identity}-')
    svg = svg.replace(INK, "currentColor").replace(FAINT, "var(--faint)")
    for i, colour in enumerate(SERIES):
        svg = svg.replace(colour, f"var(--series-{i})")
    return svg.replace("<svg", f'<svg class="plot" role="img" aria-label="{title}"', 1)
