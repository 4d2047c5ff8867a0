"""The report's figure of search: each order of the same matches, in all and by part of the right products."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.ticker import MaxNLocator

from training.report.plots.drawing import FAINT, INK, MARKS, SETTINGS, as_svg, new_canvas
from training.report.search_section import SearchSection

__all__ = ["ORDERS", "PARTS", "search_plot"]

ORDERS = {
    "text": "text alone",
    "everybody": "and popularity",
    "personal": "and the user",
    "chosen": "with chosen weights",
}
PARTS = {"all": "all", "again": "touched before", "new": "new to the user"}
ROW, STEP = 0.62, 0.19


def search_plot(section: SearchSection) -> str:
    """NDCG at the first k with 95% intervals: a group of rows for each part of the right products."""
    with mpl.rc_context({**SETTINGS, "axes.grid.axis": "x"}):
        canvas, axes = new_canvas(height=0.7 + ROW * len(PARTS))
        for group, part in enumerate(PARTS):
            for place, one in enumerate(section.rankings):
                figure = (one.metrics["ndcg"] if part == "all" else one.segments[part])[0]
                if figure.value is None:
                    continue
                y = -group + STEP * ((len(section.rankings) - 1) / 2 - place)
                low, high = figure.low or 0.0, figure.high or 0.0
                axes.plot([low, high], [y, y], color=INK, linewidth=1.5)
                axes.plot([figure.value], [y], color=INK, marker=MARKS[place], markersize=4.5)
        axes.set_yticks([-group for group in range(len(PARTS))], list(PARTS.values()))
        axes.set_ylim(-len(PARTS) + 0.45, 0.55)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(axis="y", length=0)
        for group in range(1, len(PARTS)):
            axes.axhline(0.5 - group, color=FAINT, linewidth=0.6)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"NDCG@{section.ks[0]}")
        return as_svg(canvas, f"search-{section.model}", "NDCG of each order of search, by part")
