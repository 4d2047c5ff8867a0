"""`recsys train list|show|promote|hold|rollback|history`: what is registered, and which of it serves."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recsys.errors import Conflict
from recsys.processes.user import command_user
from training.commands.console import (
    AsJson,
    Name,
    model_json,
    print_json,
    print_table,
    registered,
    share,
    table_of,
    tell_mirror,
)

__all__ = ["app"]

app = typer.Typer()

Reason = Annotated[str, typer.Option(help="Why, for the audit row.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the registered models, newest first.

    Example: recsys train list
    """
    from models.registry import registry
    from recsys.database.session import unit_of_work

    with unit_of_work() as session:
        models = registry.list_models(session)
    tell_mirror()
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
    print_table(table, console)
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
                value = f"{figure['value']:.4f}  (95% interval {figure['low']:.4f} to {figure['high']:.4f})"
                table.add_row(f"{metric}@{metrics['k']}, {view} products", value)
    print_table(table)


@app.command()
def promote(
    name: Name,
    reason: Reason,
    force: Annotated[
        bool,
        typer.Option("--force", help="Promote although the rule held it back; a running A/B test ends."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Promote a registered model; against the rule only with --force. Author and reason are stored.

    Example: recsys train promote als-v3 --force --reason "als-v4 shows too few new products"
    """
    from models.registry import switching

    before = switching.promote(name, actor=command_user(), reason=reason, force=force)
    _tell_switch(name, before, as_json)


@app.command()
def hold(name: Name, reason: Reason, as_json: AsJson = False) -> None:
    """Keep a registered model from being promoted without --force; the serving model stays.

    Example: recsys train hold als-v4 --reason "trained on a broken import"
    """
    from models.registry import switching

    active = switching.hold(name, actor=command_user(), reason=reason)
    tell_mirror()
    if as_json:
        print_json({"held": name, "active": active})
        return
    Console().print(f"{name} is held back.", markup=False, highlight=False)


@app.command()
def rollback(
    reason: Reason,
    to: Annotated[
        str | None, typer.Option(help="Which model; default: the model that served before this one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let an earlier model serve again, with the lists that were stored for it.

    Model and lists change in one step, which answers see within half a second; the rows of
    product_recommendations follow in a second step. An A/B test that runs ends with it.

    Example: recsys train rollback --reason "als-v4 recommends nothing in stock"
    """
    from models.registry import switching

    _tell_rollback(asdict(switching.roll_back(to, actor=command_user(), reason=reason)), as_json)


@app.command()
def export(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    as_json: AsJson = False,
) -> None:
    """Write a registered model as an MLflow model for batch use, where recsys is installed.

    Example: recsys train export als-v3 ./als-v3-mlflow
    """
    from models.registry import registry
    from models.registry.mlflow_flavor import save_pyfunc

    if folder.exists():
        raise Conflict(f"{folder} is there already; name a folder that is not")
    model = registered(name)
    registry.load(model)  # a damaged artifact is not handed on
    save_pyfunc(model.folder, folder)
    if as_json:
        print_json({"model": name, "folder": str(folder)})
        return
    Console().print(
        f"{name} is in {folder}: mlflow.pyfunc.load_model({str(folder)!r}).predict(frame with user_id and k)",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Who promoted, held or rolled back what, when, and why.

    Example: recsys train history --limit 5
    """
    from models.registry import registry
    from recsys.database.session import unit_of_work

    with unit_of_work() as session:
        rows = [
            {
                "when": row.created_at.isoformat(timespec="seconds"),
                "who": row.actor,
                "action": row.action,
                "from": row.from_name,
                "to": row.to_name,
                "why": row.reason,
                "figures": row.figures,
            }
            for row in registry.history(session)[:limit]
        ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        Console().print("Nothing was promoted, held or rolled back yet.")
        return
    table = table_of("when", "who", "action", "from", "to")
    table.add_column("why", overflow="fold")
    for row in rows:
        shown = (row[name] for name in ("when", "who", "action", "from", "to", "why"))
        table.add_row(*(escape(str(value or "–")) for value in shown))
    print_table(table)


def _tell_switch(name: str, before: str | None, as_json: bool) -> None:
    """What serves now, and whose the stored lists are: they change with the next scoring."""
    tell_mirror()
    from models.registry import registry
    from recsys.database.session import unit_of_work

    with unit_of_work() as session:
        lists = registry.lists_of(session)
    if as_json:
        print_json({"active": name, "before": before, "lists_of": lists})
        return
    console = Console()
    console.print(f"{name} is active now (before: {before or 'none'}).", markup=False, highlight=False)
    if lists not in (None, name):
        console.print(
            f"Stored lists are still those of {lists}; write new ones with: recsys serve score",
            markup=False,
            highlight=False,
        )


def _tell_rollback(done: dict[str, Any], as_json: bool) -> None:
    tell_mirror()
    if as_json:
        print_json(done)
        return
    name, lists = done["active"], done["lists"]
    lists_now = {
        "kept": "The stored lists were its own already.",
        "switched": f"Its stored lists are shown again (generation {done['generation']}).",
        "withdrawn": "No lists of its own are kept, so none are shown: answers are made when they are asked "
        "for, until the next `recsys serve score`.",
    }[lists]
    console = Console()
    console.print(
        f"{name} serves again (before: {done['before']}). {lists_now} Switched in {done['seconds']:.3f} s, "
        f"rows of product_recommendations after {done['rows_seconds']:.1f} s more.",
        markup=False,
        highlight=False,
    )
    if not done["redis"]:
        console.print("Redis was not reached and follows when it is back.", markup=False, highlight=False)
