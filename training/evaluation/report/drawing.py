"""How the report draws: colours, shapes and letters of its figures, and SVG that fits into the page."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure as Canvas

from training.evaluation.report.document import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "DASHES",
    "FAINT",
    "MARKS",
    "SERIES",
    "SETTINGS",
    "as_svg",
    "mark_of",
    "new_canvas",
    "short",
]

INK, FAINT = "#010203", "#040506"
"""Colours that stand in for the page's own; no figure uses them otherwise."""
SERIES = tuple(f"#0a0b{i:02x}" for i in range(8))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""Shape says the same as colour, for those who cannot tell the colours apart."""
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


def mark_of(report: Report, name: str) -> int:
    """The number of a model's colour and shape; models keep theirs in every figure."""
    return sorted(section.name for section in report.models).index(name) % len(SERIES)


def short(name: str) -> str:
    """A name that fits beside a plot."""
    return name if len(name) <= 18 else f"{name[:8]}…{name[-8:]}"


def new_canvas(height: float = HEIGHT) -> tuple[Canvas, Axes]:
    """An empty figure of the width that all have; height in inches."""
    canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
    return canvas, canvas.subplots()


def as_svg(canvas: Canvas, identity: str, title: str) -> str:
    """The figure without prologue or outside names, ids made unique, colours handed to the page."""
    written = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with warnings.catch_warnings():
        # letters stay text: the reader's own fonts have those that the measuring font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing")
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
