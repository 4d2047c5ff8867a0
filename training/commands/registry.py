"""`recsys train list|show|promote`: what is registered, and which of it serves."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recsys.errors import Invalid
from training.commands.printing import (
    AsJson,
    Name,
    actor,
    model_json,
    print_json,
    registered,
    share,
    table_of,
)

__all__ = ["app"]

app = typer.Typer()


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the registered models, newest first.

    Example: recsys train list
    """
    from models import registry
    from recsys.database.session import unit_of_work

    with unit_of_work() as session:
        models = registry.list_models(session)
    if as_json:
        print_json([model_json(model, whole=False) for model in models])
        return
    console = Console()
    if not models:
        console.print("No model is registered yet. Train with: recsys train run --all")
        return
    table = table_of("", "name", "algorithm", "trained", "NDCG", "NDCG new", "dataset")
    for model in models:
        metrics = model.parameters.get("metrics", {})
        every, fresh = metrics.get("all", {}), metrics.get("new", {})
        table.add_row(
            "[green]●[/green]" if model.is_active else "",
            escape(model.name),
            escape(model.algorithm),
            f"{model.last_trained_at:%Y-%m-%d %H:%M}",
            share(every.get("ndcg", {}).get("value")),
            share(fresh.get("ndcg", {}).get("value")),
            model.dataset[:8],
        )
    console.print(table)
    console.print("● serves now", style="dim", highlight=False)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show everything that is known of one registered model.

    Example: recsys train show als-v3
    """
    model = registered(name)
    plain = model_json(model, whole=True)
    if as_json:
        print_json(plain)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in plain.items():
        if key != "parameters":
            table.add_row(key, escape(str(value)))
    parameters = plain["parameters"]
    for key in ("seed", "run", "cutoff"):
        table.add_row(key, escape(str(parameters.get(key, "–"))))
    for key, value in parameters.get("hyperparameters", {}).items():
        table.add_row(f"parameter {key}", escape(str(value)))
    for view, metrics in parameters.get("metrics", {}).items():
        for metric, figure in metrics.items():
            if isinstance(figure, dict):
                said = f"{figure['value']:.4f}  (95% interval {figure['low']:.4f} to {figure['high']:.4f})"
                table.add_row(f"{metric}@{metrics['k']}, {view} products", said)
    Console().print(table, highlight=False)


@app.command()
def promote(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why, for the audit row.")],
    as_json: AsJson = False,
) -> None:
    """Make a registered model the one that serves, whatever the rule says; who and why are kept.

    Example: recsys train promote als-v3 --reason "als-v4 shows too few new products"
    """
    from models import registry
    from recsys.database.session import unit_of_work

    if not reason.strip():
        raise Invalid("--reason is empty; say why in a few words, the audit row keeps it")
    registry.load(registered(name))  # a damaged artifact is refused before anything changes
    with unit_of_work() as session:
        before = registry.active(session)
        model = registry.activate(session, name, actor=actor(), reason=reason.strip())
    was = None if before is None else before.name
    if as_json:
        print_json({"active": model.name, "before": was})
        return
    Console().print(f"{model.name} is active now (before: {was or 'none'}).", markup=False, highlight=False)
