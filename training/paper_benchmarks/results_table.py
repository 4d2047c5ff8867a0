"""The printed table: our models, the targets and the published peers, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from training.paper_benchmarks.runner import Result

__all__ = ["show"]


def show(
    title: str, results: Sequence[Result], peers: Sequence[dict[str, Any]], sort_by: str, console: Console
) -> None:
    """Print results and peers in one table, by the falling figure `sort_by`."""
    figures = list(results[0].figures)
    table = Table(title=title)
    table.add_column("model")
    for name in figures:
        table.add_column(name, justify="right")
    table.add_column("fit s", justify="right")
    table.add_column("peak MiB", justify="right")
    table.add_column("from")
    rows: list[tuple[float, list[str]]] = []
    for result in results:
        cells = [f"{result.figures[name]:.4f}" for name in figures]
        used = [f"{result.fit_seconds:.1f}", f"{result.peak_rss_mib:,.0f}"]
        rows.append(
            (result.figures[sort_by], [f"[bold]{result.model}[/]", *cells, *used, result.note or "here"])
        )
    for peer in peers:
        cells = [f"{peer[name]:.4f}" if name in peer else "–" for name in figures]
        rows.append((float(peer.get(sort_by, 0.0)), [peer["model"], *cells, "–", "–", peer["source"]]))
    for _, cells in sorted(rows, key=lambda row: -row[0]):
        table.add_row(*cells)
    console.print(table)
