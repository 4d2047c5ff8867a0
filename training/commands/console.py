"""What the commands of `recsys train` have in common: how they name, find, print and write down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

if TYPE_CHECKING:
    from models.registry.registry import RegisteredModel

__all__ = [
    "AsJson",
    "Name",
    "model_json",
    "print_json",
    "print_table",
    "registered",
    "share",
    "table_of",
    "tell_mirror",
]

WIDEST = 500
"""Columns of a terminal that no table needs."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]
Name = Annotated[str, typer.Argument(help="Name of a registered model, for example als-v3.")]


def table_of(*columns: str) -> Table:
    """Columns that never break a name or a figure over lines."""
    table = Table(box=None, padding=(0, 1))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table of `table_of` as wide as it is: cut to a narrow terminal it would lose figures."""
    console = console or Console()
    before = console.width
    wide = console.options.update(max_width=WIDEST)
    console.width = max(before, Measurement.get(console, wide, table).maximum)
    console.print(table, highlight=False)
    console.width = before


def registered(name: str) -> RegisteredModel:
    """The registered model of this name. Raises NotFound."""
    from models.registry import registry
    from recsys.database.session import unit_of_work

    with unit_of_work() as session:
        return registry.get(session, name)


def tell_mirror() -> None:
    """Bring MLflow's registry in step with ours; where that fails, say so on stderr and go on."""
    from training.tracking.registry_sync import reconcile

    mirrored = reconcile()
    if mirrored.problem:
        Console(stderr=True).print(
            f"Warning: MLflow's registry was not brought in step ({mirrored.problem}); "
            "ours is right, and the next `recsys train list` tries again.",
            style="yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def print_json(value: Any) -> None:
    """Write `value` to standard output as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def share(value: float | None) -> str:
    """A share with four decimals; a dash for None."""
    return "–" if value is None else f"{value:.4f}"


def model_json(model: RegisteredModel, *, whole: bool) -> dict[str, Any]:
    """A registered model as the JSON of `--json`; `whole` adds its parameters and metrics."""
    plain: dict[str, Any] = {
        "name": model.name,
        "version": model.version,
        "type": model.type,
        "algorithm": model.algorithm,
        "is_active": model.is_active,
        "last_trained_at": model.last_trained_at.isoformat(),
        "dataset": model.dataset,
        "checksum": model.checksum,
        "artifact": str(model.folder),
    }
    if whole:
        return {**plain, "parameters": model.parameters}
    return {**plain, "metrics": model.parameters.get("metrics", {})}
