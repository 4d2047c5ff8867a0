"""How the cost of each step grows with the shop, from import to answers, and the slope of each figure.

Run as `python -m tests.performance.scale --sizes 1e5,1e6,1e7`. For each size a simulated shop with so many
interactions, a 50th as many users and a 250th as many products goes through every step in embedded servers of
its own, which are deleted afterwards. The slope is the exponent b of cost = a · sizeᵇ, by least squares over
the sizes: 1 means that a shop ten times as large costs ten times as much.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from recsys.settings import get_settings
from tests.performance.scale.steps import ScaleRun
from tests.support.servers import temporary_var

MODELS = "popularity,item_knn,co_visitation_by_type,tifu_knn,buy_again,als,degree_svd,ease,similar_items"
USERS_SHARE, PRODUCTS_SHARE = 50, 250
console = Console(highlight=False, width=150)

Figures = Mapping[str, float | str]


def slope(sizes: list[float], values: list[float]) -> float | None:
    """The exponent of growth by least squares over logarithms; None for fewer than two positive values."""
    points = [
        (math.log(size), math.log(value)) for size, value in zip(sizes, values, strict=True) if value > 0
    ]
    if len(points) < 2:
        return None
    return float(np.polyfit(*np.transpose(points), deg=1)[0])


def show(figures_of_sizes: Mapping[int, Figures]) -> None:
    """Print one line for each figure, with its slope."""
    table = Table(title="cost by number of interactions")
    table.add_column("figure")
    for size in figures_of_sizes:
        table.add_column(f"{size:,}", justify="right")
    table.add_column("slope", justify="right")
    for name in dict.fromkeys(name for figures in figures_of_sizes.values() for name in figures):
        measured = {size: figures.get(name, "") for size, figures in figures_of_sizes.items()}
        numbers = {size: value for size, value in measured.items() if isinstance(value, float | int)}
        exponent = slope([float(size) for size in numbers], [float(value) for value in numbers.values()])
        cells = [value if isinstance(value, str) else f"{value:,.4g}" for value in measured.values()]
        table.add_row(name, *cells, "" if exponent is None else f"{exponent:.2f}")
    console.print(table)


def main() -> None:
    """Measure every size, smallest first; print the table after each, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1e5,1e6", help="interactions, separated by commas")
    parser.add_argument("--models", default=MODELS, help="algorithms or experiments to fit")
    parser.add_argument(
        "--serve", default="tifu_knn", help="the experiment that is trained, promoted and scored"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of requests for the quantiles")
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    parser.add_argument(
        "--step-seconds", type=float, default=3600.0, help="a step that takes longer is ended"
    )
    parser.add_argument("--output", type=Path, help="also write the figures to this file, as JSON")
    given = parser.parse_args()
    figures_of_sizes: dict[int, Figures] = {}
    console.print(
        f"{platform.processor() or platform.machine()}, {psutil.cpu_count()} processors, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, load {os.getloadavg()[0]:.1f} at the start"
    )
    for size in sorted(int(float(each)) for each in given.sizes.split(",")):
        with temporary_var("recsys-scale-") as var:
            os.environ["RECSYS_VAR"] = str(var)
            get_settings.cache_clear()
            run = ScaleRun(
                var,
                interactions=size,
                users=max(10, size // USERS_SHARE),
                products=max(10, size // PRODUCTS_SHARE),
                most_seconds=given.step_seconds,
                say=console.print,
            )
            figures_of_sizes[size] = run.figures
            try:
                run.prepare()
                run.fit_each(given.models.split(","))
                run.serve(given.serve)
                run.answers(given.rate, given.seconds)
            finally:
                run.stop()
        show(figures_of_sizes)
        if given.output is not None:
            given.output.write_text(json.dumps(figures_of_sizes, indent=1) + "\n", encoding="utf-8")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
