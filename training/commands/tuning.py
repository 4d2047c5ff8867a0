"""`recsys train tune`: search the parameters of an experiment on validation periods."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from training.commands.console import AsJson, print_json, print_table, table_of

if TYPE_CHECKING:
    from training.tuning.run import Tuning

__all__ = ["app"]

app = typer.Typer()


@app.command()
def tune(
    experiment: Annotated[
        str, typer.Argument(help="An experiment file with [tune], or the name of one.", metavar="FILE|NAME")
    ],
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Time budget; default: the file's.")] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials in all, earlier ones included; default: the file's.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where the search is kept: `postgresql` (the shop's own), or a URL; default: SQLite in var."
        ),
    ] = None,
    test: Annotated[
        bool,
        typer.Option(help="Evaluate on the test period at the end; only once per search."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Search for better parameters on the periods before the test; the best become an experiment file.

    Stopped and started again it goes on where it was, with the same data and the same [tune.space].

    Example: recsys train tune my-als.toml --minutes 20
    """
    from recsys.processes.priority import give_way
    from training.tuning.run import run

    give_way()
    console = Console(stderr=True)
    tuning = run(experiment, minutes=minutes, trials=trials, storage=storage, look=test, console=console)
    if as_json:
        print_json(
            {
                "study": tuning.found.study,
                "forecast": asdict(tuning.forecast),
                "trials": [asdict(trial) for trial in tuning.found.trials],
                "best": asdict(tuning.found.best),
                "tested": None if tuning.found.tested is None else asdict(tuning.found.tested),
                "looked_before": tuning.found.looked_before,
                "looks_elsewhere": tuning.found.looks_elsewhere,
                "file": str(tuning.file),
            }
        )
        return
    _show(tuning, Console())


def _show(tuning: Tuning, console: Console) -> None:
    from training.evaluation.significance import format_p

    found = tuning.found
    table = table_of("", "trial", "value", "by period", "seconds", "parameters")
    best_yet = float("-inf")
    for trial in found.trials:
        better = trial.state == "complete" and trial.value is not None and trial.value > best_yet
        best_yet = max(best_yet, trial.value or best_yet) if trial.state == "complete" else best_yet
        table.add_row(
            "[green]●[/green]" if trial.number == found.best.number else ("▲" if better else ""),
            str(trial.number),
            f"{trial.value:.4f}" if trial.state == "complete" and trial.value is not None else trial.state,
            " ".join(f"{value:.4f}" for value in trial.periods) or "–",
            f"{trial.seconds:.1f}",
            escape(", ".join(f"{name}={value!r}" for name, value in trial.parameters.items())),
        )
    print_table(table, console)
    console.print("● best, ▲ best up to then", style="dim", highlight=False)
    tested = found.tested
    if tested is None:
        console.print("The test period was not looked at.", highlight=False)
    else:
        earlier = f" (looked at before, after {tested.after_trials} trials)" if found.looked_before else ""
        console.print(
            f"Test, {tested.metric}: {tested.best:.4f} with trial {tested.number}, {tested.own:.4f} with the "
            f"file's own; difference {tested.difference:+.4f} ({tested.low:+.4f} to {tested.high:+.4f}, "
            f"{format_p(tested.p_value)}, {tested.users:,} users){earlier}.",
            highlight=False,
            soft_wrap=True,
        )
    if tested is not None and found.looks_elsewhere:
        console.print(
            f"{found.looks_elsewhere} other searches looked at the same test period: the more of them, the "
            "likelier a chance difference.",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"Experiment file: {Path(tuning.file)}", markup=False, highlight=False, soft_wrap=True)
