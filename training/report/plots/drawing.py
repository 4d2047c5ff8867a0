"""How the report draws: colours, shapes and letters of its figures, and SVG that fits into the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from training.report.document import EvaluationReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "DASHES",
    "FAINT",
    "INK",
    "MARKS",
    "SERIES",
    "SETTINGS",
    "SYMBOLS",
    "Style",
    "as_svg",
    "label_ends",
    "new_canvas",
    "short",
    "small_canvas",
    "spread",
    "style_of",
]

INK, FAINT = "#010203", "#040506"
"""Colours that stand in for the page's own; no figure uses them otherwise."""
SERIES = tuple(f"#0a0b{i:02x}" for i in range(8))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")
SYMBOLS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "⬟")
"""Shape says the same as colour, for those who cannot tell the colours apart."""
ALGORITHMS = (
    *("hybrid", "tifu_knn", "co_visitation", "ease", "als", "content", "item_knn", "popularity"),
    *(
        "degree_svd",
        "buy_again",
        "normalised_knn",
        "rp3beta",
        "bpr",
        "cold_items",
        "bought_together",
        "trending",
    ),
    *("graph_filter", "tale", "blend", "cold_users"),
)
"""An algorithm's place fixes its colour; those of one column share a colour and differ in their mark."""
LABEL_GAP = 0.085
"""Least distance of two labels, as a share of the figure's height."""
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))

WIDTH, HEIGHT = 4.4, 2.9
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "recsys",
    "text.parse_math": False,  # a dollar in a name of the shop is no formula
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


class Style(NamedTuple):
    """Places in SERIES, and in MARKS, SYMBOLS and DASHES."""

    colour: int
    mark: int


def style_of(report: EvaluationReport, name: str) -> Style:
    """The look of a model: the colour says the algorithm, in every report; the mark sets alike ones apart."""
    algorithm = report.model(name).algorithm
    same = sorted(section.name for section in report.models if section.algorithm == algorithm)
    known = algorithm in ALGORITHMS
    place = ALGORITHMS.index(algorithm) if known else len(ALGORITHMS) + crc32(algorithm.encode())
    turn = place // len(SERIES) + 3 * same.index(name)
    return Style(place % len(SERIES), (place + turn) % len(MARKS))


def label_ends(axes: Axes, report: EvaluationReport, ends: Sequence[tuple[float, str]]) -> None:
    """Names at the right edge beside the ends (y, name) of their lines, set apart where they would touch."""
    for place, (_, name) in zip(spread(axes, [y for y, _ in ends]), ends, strict=True):
        colour = SERIES[style_of(report, name).colour]
        axes.text(
            *(1.03, place, short(name)), transform=axes.transAxes, va="center", fontsize=8, color=colour
        )


def spread(axes: Axes, heights: Sequence[float]) -> list[float]:
    """Heights of labels as shares of the figure's height: as given but LABEL_GAP apart, at most 1."""
    low, high = axes.get_ylim()
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    places = [0.0] * len(heights)
    lowest = 0.0
    for i in order:
        places[i] = max((heights[i] - low) / (high - low), lowest)
        lowest = places[i] + LABEL_GAP
    highest = 1.0
    for i in reversed(order):
        places[i] = min(places[i], highest)
        highest = places[i] - LABEL_GAP
    return places


def short(name: str) -> str:
    """A name that fits beside a plot."""
    return name if len(name) <= 18 else f"{name[:8]}…{name[-8:]}"


def new_canvas(height: float = HEIGHT) -> tuple[Canvas, Axes]:
    """An empty figure of the width that all have; height in inches."""
    canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
    return canvas, canvas.subplots()


def small_canvas() -> tuple[Canvas, Axes]:
    """An empty small multiple: every one has its axes in the same place."""
    canvas = Canvas(figsize=(2.1, 1.8))
    return canvas, canvas.add_axes((0.2, 0.17, 0.76, 0.79))


def as_svg(canvas: Canvas, identity: str, title: str) -> str:
    """The figure without prologue or outside names, ids made unique, colours handed to the page."""
    written = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with warnings.catch_warnings():
        # letters stay text: the reader's own fonts have those that the measuring font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        layout = canvas.get_layout_engine()
        if layout is not None:
            # all is put in its place once; savefig would draw the whole figure for it, before it is drawn
            FigureCanvasSVG(canvas)
            layout.execute(canvas)
            canvas.set_layout_engine(None)
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
