"""`recsys train`: run experiments, list and show what is registered, find reports, promote by hand."""

from __future__ import annotations

import getpass
import json
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recsys.errors import Invalid, NotFound
from training.benchmarks import cli as benchmarks
from training.weights import weights

if TYPE_CHECKING:
    from models.registry import RegisteredModel
    from training.pipeline import Outcome

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Train, evaluate, report, register and promote models.")
app.add_typer(benchmarks.app, name="benchmark")
app.command()(weights)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]
Name = Annotated[str, typer.Argument(help="Name of a registered model, for example als-v3.")]


@app.command()
def run(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            help="Experiment files, or names of those that come with recsys.", metavar="FILE|NAME..."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Those that come with recsys, but no long ones.")
    ] = False,
    if_needed: Annotated[
        bool,
        typer.Option("--if-needed", help="Do nothing when these experiments stand on this dataset already."),
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Build a new dataset snapshot first, with the newest interactions."),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Use this seed instead of the files' own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on one dataset snapshot, judge on its last weeks, report, register, promote or hold.

    Example: recsys train run training/experiments/als.toml
    Example: recsys train run --all --if-needed
    """
    from training.experiment import everyday, load_all

    if everything and experiments:
        raise Invalid("give experiments or --all, not both")
    sources = everyday() if everything else list(experiments or [])
    checked = load_all(sources, seed=seed)

    from training.pipeline import train
    from training.steps import Steps

    outcome = train(
        checked,
        command=_command(sources, everything, seed),
        actor=_actor(),
        steps=Steps(Console(stderr=True)),
        if_needed=if_needed,
        rebuild=rebuild,
    )
    if as_json:
        _print_json(_outcome_json(outcome))
    else:
        _show_outcome(outcome)


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
        _print_json([_model_json(model, whole=False) for model in models])
        return
    console = Console()
    if not models:
        console.print("No model is registered yet. Train with: recsys train run --all")
        return
    table = _table("", "name", "algorithm", "trained", "NDCG", "NDCG new", "dataset")
    for model in models:
        metrics = model.parameters.get("metrics", {})
        every, fresh = metrics.get("all", {}), metrics.get("new", {})
        table.add_row(
            "[green]●[/green]" if model.is_active else "",
            escape(model.name),
            escape(model.algorithm),
            f"{model.last_trained_at:%Y-%m-%d %H:%M}",
            _share(every.get("ndcg", {}).get("value")),
            _share(fresh.get("ndcg", {}).get("value")),
            model.dataset[:8],
        )
    console.print(table)
    console.print("● serves now", style="dim", highlight=False)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show everything that is known of one registered model.

    Example: recsys train show als-v3
    """
    model = _get(name)
    plain = _model_json(model, whole=True)
    if as_json:
        _print_json(plain)
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
def report(name: Name) -> None:
    """Print the path of the report of the run that made this model.

    Example: xdg-open "$(recsys train report als-v3)"
    """
    from recsys.settings import get_settings

    model = _get(name)
    kept = model.parameters.get("report")
    path = get_settings().var / str(kept)
    if not kept or not path.is_file():
        raise NotFound(f"the report of {name} is no longer at {path}; train again to write a new one")
    typer.echo(path)


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
    registry.load(_get(name))  # a damaged artifact is refused before anything changes
    with unit_of_work() as session:
        before = registry.active(session)
        model = registry.activate(session, name, actor=_actor(), reason=reason.strip())
    was = None if before is None else before.name
    if as_json:
        _print_json({"active": model.name, "before": was})
        return
    Console().print(f"{model.name} is active now (before: {was or 'none'}).", markup=False, highlight=False)


def _table(*columns: str) -> Table:
    """Columns that never break a name or a figure over lines."""
    table = Table(box=None, padding=(0, 1))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _get(name: str) -> RegisteredModel:
    from models import registry
    from recsys.database.session import unit_of_work

    with unit_of_work() as session:
        return registry.get(session, name)


def _actor() -> str:
    try:
        return getpass.getuser()[:100]
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _command(sources: list[str], everything: bool, seed: int | None) -> str:
    named = "--all" if everything else " ".join(shlex.quote(source) for source in sources)
    return f"recsys train run {named}" + ("" if seed is None else f" --seed {seed}")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _model_json(model: RegisteredModel, *, whole: bool) -> dict[str, Any]:
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


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "skipped": outcome.skipped or None,
        "experiments": outcome.experiments,
        "dataset": outcome.dataset,
        "active": outcome.active,
    }
    if outcome.report is None:
        return plain
    tracked = outcome.tracked
    return {
        **plain,
        "run": outcome.report.run,
        "verdict": outcome.report.verdict.model_dump(mode="json"),
        "models": [
            section.model_dump(mode="json", exclude={"examples", "parameters"})
            for section in outcome.report.models
        ],
        "report": str(outcome.page),
        "report_json": str(outcome.document),
        "mlflow": None
        if tracked is None
        else {"uri": tracked.uri, "runs": tracked.runs, "problem": tracked.problem},
        "seconds": round(outcome.seconds, 2),
        "peak_mib": round(outcome.peak_mib),
        "steps": outcome.steps,
    }


def _show_outcome(outcome: Outcome) -> None:
    console = Console()
    if outcome.report is None:
        console.print(f"Nothing to do: {outcome.skipped}.", markup=False, highlight=False)
        return
    document = outcome.report
    verdict, place = document.verdict, document.ks.index(document.verdict.k)
    k = verdict.k
    table = _table("", "model", f"NDCG@{k}", "95% interval", "new only", "95% interval", "fit")
    for section in document.models:
        every, fresh = (section.views[view].metrics["ndcg"][place] for view in ("all", "new"))
        table.add_row(
            "[green]●[/green]" if section.name == outcome.active else "",
            escape(section.name),
            f"{every.value:.4f}",
            f"{every.low:.4f}–{every.high:.4f}",
            f"{fresh.value:.4f}",
            f"{fresh.low:.4f}–{fresh.high:.4f}",
            f"{section.cost.fit_seconds:.1f} s",
        )
    console.print(table)
    words = {"promote": "Promoted", "refresh": "Refreshed", "hold": "Held"}
    console.print(
        f"{words[verdict.action]}: {verdict.reason}.", markup=False, highlight=False, soft_wrap=True
    )
    console.print(f"Report: {outcome.page}", markup=False, highlight=False, soft_wrap=True)
    if outcome.tracked is not None and outcome.tracked.problem:
        lost = f"MLflow did not record this run ({outcome.tracked.problem}); the models are registered."
        Console(stderr=True).print(
            f"Warning: {lost}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )
    console.print(
        f"{len(document.models)} trained in {outcome.seconds:.0f} s, peak {outcome.peak_mib:,.0f} MiB.",
        highlight=False,
    )
