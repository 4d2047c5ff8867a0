"""`recsys train`: run experiments, evaluate, compare, tune, report and promote models."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from recsys.durations import format_seconds, parse_seconds
from recsys.errors import Invalid
from recsys.processes.user import command_user
from recsys.spark.engine import Engine, EngineOption, MasterOption, chosen_session
from training.commands import (
    evaluation,
    interleaving,
    item_lists,
    off_policy,
    online,
    registry,
    reports,
    search,
    tuning,
)
from training.commands.console import AsJson, print_json, print_table, table_of
from training.paper_benchmarks import cli as benchmarks
from training.studies.weight_fitting import weights

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from features.build.builder import EventReader
    from training.experiment import Experiment
    from training.pipeline import TrainingOutcome
    from training.progress import Steps
    from training.report.document import Figure

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Train, evaluate, report, register and promote models.")


@app.command()
def run(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(help="Experiment files, or names of experiments of recsys.", metavar="FILE|NAME..."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All experiments of recsys except the long ones.")
    ] = False,
    if_needed: Annotated[
        bool,
        typer.Option("--if-needed", help="Do nothing when these experiments have run on this dataset."),
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Build a new dataset snapshot first, with the newest interactions."),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Use this seed instead of the files' own.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Skip models whose forecast exceeds this time, such as 90s, 10m or 1h.",
            metavar="TIME",
        ),
    ] = None,
    engine: EngineOption = Engine.LOCAL,
    master: MasterOption = None,
    as_json: AsJson = False,
) -> None:
    """Train on one dataset snapshot, judge on its last weeks, report, register, promote or hold.

    Example: recsys train run training/experiments/als.toml
    Example: recsys train run --all --if-needed
    Example: recsys train run --all --budget 10m
    Example: recsys train run co_visitation_by_type --rebuild --engine spark --master local[4]
    """
    from training.experiment import everyday, load_all

    seconds = None if budget is None else parse_seconds(budget, "--budget")

    if everything and experiments:
        raise Invalid("give experiments or --all, not both")
    sources = everyday() if everything else list(experiments or [])
    checked = load_all(sources, seed=seed)

    from recsys.processes.priority import give_way
    from training.pipeline import train
    from training.progress import Steps

    spark = chosen_session(engine, master, "train run")
    give_way()
    steps = Steps(Console(stderr=True))
    with ExitStack() as opened:
        read_all = None
        if spark is not None:
            read_all = _compute_on_spark(opened.enter_context(spark), checked, steps, opened)
        outcome = train(
            checked,
            command=_command(sources, everything, seed, budget),
            actor=command_user(),
            steps=steps,
            if_needed=if_needed,
            rebuild=rebuild,
            budget=seconds,
            read_all=read_all,
        )
    if as_json:
        print_json(_outcome_json(outcome))
    else:
        _show_outcome(outcome)


def _compute_on_spark(
    session: SparkSession, experiments: Sequence[Experiment], steps: Steps, opened: ExitStack
) -> EventReader:
    """Compute fits on this session until `opened` closes; return its reader of interactions."""
    from features.build.spark_reader import SparkInteractionReader
    from models.shared.engine import computing_on
    from training.fit.spark_engine import COMPUTED, SparkArrayEngine

    opened.enter_context(computing_on(SparkArrayEngine(session)))
    if here := sorted({one.algorithm for one in experiments} - COMPUTED):
        steps.say(f"Spark does not fit {', '.join(here)}: this process does")
    return SparkInteractionReader(session)


def _command(sources: list[str], everything: bool, seed: int | None, budget: str | None) -> str:
    named = "--all" if everything else " ".join(shlex.quote(source) for source in sources)
    seeded = "" if seed is None else f" --seed {seed}"
    return f"recsys train run {named}{seeded}" + ("" if budget is None else f" --budget {budget}")


def _outcome_json(outcome: TrainingOutcome) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "skipped": outcome.skipped or None,
        "experiments": outcome.experiments,
        "dataset": outcome.dataset,
        "active": outcome.active,
        "registered": outcome.registered,
        **({"forecast": None, "left_out": []} if outcome.plan is None else outcome.plan.to_json()),
    }
    if outcome.report is None:
        return plain
    tracked = outcome.tracked
    return {
        **plain,
        "run": outcome.report.run,
        "verdict": outcome.report.verdict.model_dump(mode="json"),
        "test": {
            name: getattr(outcome.report.data, name)
            for name in ("target", "target_reason", "protocol", "protocol_reason", "test_days", "problem")
        },
        "models": [
            section.model_dump(mode="json", exclude={"examples", "parameters"})
            for section in outcome.report.models
        ],
        "report": str(outcome.page),
        "report_json": str(outcome.document),
        "mlflow": None
        if tracked is None
        else {
            "uri": tracked.uri,
            "runs": tracked.runs,
            "problem": tracked.problem,
            "registry_problem": "" if outcome.mirrored is None else outcome.mirrored.problem,
        },
        "seconds": round(outcome.seconds, 2),
        "peak_mib": round(outcome.peak_mib),
        "steps": outcome.steps,
    }


def _show_outcome(outcome: TrainingOutcome) -> None:
    console = Console()
    if outcome.report is None:
        message = f"Nothing to do: {outcome.skipped}." if outcome.skipped else _registered(outcome)
        console.print(message, markup=False, highlight=False, soft_wrap=True)
        _warn_of_mirror(outcome)
        _show_forecast(outcome, console)
        return
    document = outcome.report
    verdict, place = document.verdict, document.ks.index(document.verdict.k)
    k = verdict.k
    table = table_of("", "model", f"NDCG@{k}", "95%", "new", "95%", "fit")
    for section in document.models:
        parts = (section.views["all"], section.views["new"])
        figures = [text for part in parts for text in _texts(part.metrics["ndcg"][place], part.users)]
        table.add_row(
            "[green]●[/green]" if section.name == outcome.active else "",
            escape(section.name),
            *figures,
            f"{section.cost.fit_seconds:.{0 if section.cost.fit_seconds >= 10 else 1}f} s",
        )
    print_table(table, console)
    words = {"promote": "Promoted", "refresh": "Refreshed", "hold": "Held"}
    console.print(
        f"{words[verdict.action]}: {verdict.reason}.", markup=False, highlight=False, soft_wrap=True
    )
    console.print(f"Report: {outcome.page}", markup=False, highlight=False, soft_wrap=True)
    if outcome.tracked is not None and outcome.tracked.problem:
        _warn(f"MLflow did not record this run ({outcome.tracked.problem}); the models are registered.")
    _warn_of_mirror(outcome)
    if outcome.registered:
        console.print(_registered(outcome), markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{len(document.models)} trained in {outcome.seconds:.0f} s, peak {outcome.peak_mib:,.0f} MiB.",
        highlight=False,
    )
    _show_forecast(outcome, console)


def _show_forecast(outcome: TrainingOutcome, console: Console) -> None:
    """The forecast of fitting and judging beside what both took."""
    if outcome.plan is not None:
        console.print(
            f"Fitting and judging: forecast {format_seconds(outcome.plan.seconds)}, "
            f"took {format_seconds(outcome.forecast_took)}.",
            highlight=False,
        )


def _registered(outcome: TrainingOutcome) -> str:
    names = ", ".join(outcome.registered)
    return (
        f"Registered {names}: for lists that start from a product; `recsys train evaluate-items` judges them."
    )


def _texts(figure: Figure, users: int) -> tuple[str, str]:
    """A figure and its interval; dashes where nobody was judged."""
    if not users:
        return "–", "–"
    return f"{figure.value:.4f}", f"{figure.low:.3f}–{figure.high:.3f}"


def _warn_of_mirror(outcome: TrainingOutcome) -> None:
    if outcome.mirrored is not None and outcome.mirrored.problem:
        _warn(f"MLflow's registry was not brought in step ({outcome.mirrored.problem}); ours is right.")


def _warn(message: str) -> None:
    Console(stderr=True).print(
        f"Warning: {message}", style="yellow", markup=False, highlight=False, soft_wrap=True
    )


app.add_typer(registry.app)
app.add_typer(reports.app)
app.add_typer(evaluation.app)
app.add_typer(item_lists.app)
app.add_typer(tuning.app)
app.add_typer(search.app)
app.add_typer(online.app)
app.add_typer(off_policy.app)
app.add_typer(interleaving.app)
app.command()(weights)
app.add_typer(benchmarks.app, name="benchmark")
