"""Tables of commands in a terminal of any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from training.commands.console import print_table, table_of

CELLS = ("co_visitation_by_type-v12", "2026-12-01 00:57", "0.3233", "0.288–0.358")


@pytest.mark.parametrize("width", [20, 80, 200])
def test_a_terminal_of_any_width_gets_every_name_and_figure(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width)
    table = table_of("name", "trained", "NDCG", "95%")
    table.add_row(*CELLS)
    print_table(table, console)
    assert all(cell in out.getvalue() for cell in CELLS)
    assert console.width == width
