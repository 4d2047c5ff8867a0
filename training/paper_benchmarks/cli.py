"""`recsys train benchmark …`: published tables, fitted again on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.paper_benchmarks.chosen_settings import BenchmarkSettings
    from training.paper_benchmarks.runner import Result

__all__ = ["app"]

app = typer.Typer(
    name="benchmark",
    help="Fit the algorithms on public data and print them beside published figures.",
    no_args_is_help=True,
)

Data = Annotated[Path, typer.Option("--data", help="Folder of the benchmark's files.")]
Models = Annotated[
    list[str] | None, typer.Option("--model", help="Only this model of the settings; may be given again.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Plain JSON instead of a table.")]


@app.command()
def gowalla(
    data: Data,
    model: Models = None,
    hybrid: Annotated[bool, typer.Option(help="Also blend the members that the settings name.")] = True,
    validate: Annotated[
        bool, typer.Option("--validate", help="Learn the blend on the validation part of train; no test.")
    ] = False,
    search: Annotated[
        bool, typer.Option("--search", help="Search the models' settings on that part of train; no test.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Gowalla, published split: every unseen item ranked, Recall@20 and NDCG@20.

    Example: recsys train benchmark gowalla --data data/gowalla --model degree_svd
    """
    from training.paper_benchmarks import gowalla as benchmark
    from training.paper_benchmarks.chosen_settings import read_settings

    settings = read_settings("gowalla")
    names = _chosen(settings, model)
    split = benchmark.read(data)
    with _progress() as say:
        if search:
            found = benchmark.choose(split, settings, names, progress=say)
            results = [point for one in found.values() for point in one.points]
        elif validate:
            blend, results = benchmark.learn_blend(split, settings, names, progress=say)
            say("weights: " + ", ".join(f"{name} {weight:g}" for name, weight in blend.weights.items()))
        else:
            results = benchmark.run(split, settings, names, blend=hybrid and model is None, progress=say)
    inside = validate or search
    title = "Gowalla, validation part of train" if inside else "Gowalla, published split"
    _answer(title, results, [] if inside else settings.peers, "ndcg@20", as_json)


@app.command()
def beauty(
    data: Data,
    model: Models = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Learn the blend on the last item but one; no test.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Amazon Beauty, last item held out: HR@10 and NDCG@10, and again with neighbouring events shuffled.

    Example: recsys train benchmark beauty --data data/beauty
    """
    from training.paper_benchmarks import beauty as benchmark
    from training.paper_benchmarks.chosen_settings import read_settings

    settings = read_settings("beauty")
    names = _chosen(settings, model)
    sequences = benchmark.read(data)
    seed = int(settings.validation["seed"])
    with _progress() as say:
        if validate:
            blend, results = benchmark.learn_blend(sequences, settings, names, progress=say)
            say("weights: " + ", ".join(f"{name} {weight:g}" for name, weight in blend.weights.items()))
        else:
            results = benchmark.run(sequences, settings, names, blend=model is None, progress=say)
            mixed = benchmark.shuffled(sequences, 2, seed)
            results += benchmark.run(
                mixed, settings, names, blend=model is None, variant="pairs shuffled", progress=say
            )
    title = "Amazon Beauty, last item " + ("but one, of train" if validate else "held out")
    _answer(title, results, [] if validate else settings.peers, "ndcg@10", as_json)


@app.command()
def retailrocket(
    data: Data,
    validate: Annotated[
        bool, typer.Option("--validate", help="Fit the weights on the last buy but one; no test.")
    ] = False,
    new: Annotated[
        bool,
        typer.Option("--new", help="Products new to the user; earlier views of the held-out one are hidden."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """RetailRocket, last buy held out: fitted event weights against equal ones and buys alone.

    With --new each model of the settings is judged on half of the users, on the other half with --validate.

    Example: recsys train benchmark retailrocket --data data/retailrocket
    """
    from training.evaluation.significance import format_p
    from training.paper_benchmarks import retailrocket as benchmark
    from training.paper_benchmarks.chosen_settings import read_settings

    settings = read_settings("retailrocket")
    model = next(iter(settings.models.values()))
    log = benchmark.read(data)
    if new:
        with _progress() as say:
            results = benchmark.discoveries(log, settings, validate=validate, progress=say)
        _answer("RetailRocket, last bought product, new to the user", results, [], "ndcg@20", as_json)
        return
    if validate:
        with _progress() as say:
            _show_weights(benchmark.fit_weights(log, model, progress=say), as_json)
        return
    with _progress() as say:
        results = benchmark.run(log, settings, model, progress=say)
        say("comparing")
        found = benchmark.compared(results, int(settings.validation["seed"]))
    for other, comparison in found.items():
        typer.echo(
            f"{results[0].model} - {other}: {comparison.difference:+.4f} NDCG@20 "
            f"({comparison.low:+.4f} to {comparison.high:+.4f}), "
            f"{format_p(comparison.p_value, comparison.floor)}",
            err=True,
        )
    _answer("RetailRocket, last buy held out", results, [], "ndcg@20", as_json)


@app.command("complete-journey")
def complete_journey(
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of the parquet files; by default that of the demo package."),
    ] = None,
    model: Models = None,
    as_json: AsJson = False,
) -> None:
    """The Complete Journey, weeks 45 to 48 held out: any product and new ones, cold users and products.

    Example: recsys train benchmark complete-journey --model tifu_knn --model hybrid
    """
    import json

    from training.paper_benchmarks import complete_journey as benchmark
    from training.paper_benchmarks import complete_journey_data
    from training.paper_benchmarks.chosen_settings import read_settings

    settings = read_settings("complete_journey")
    names = _chosen(settings, model)
    split = complete_journey_data.read(complete_journey_data.folder_of(data))
    with _progress() as say:
        say(f"{split.refused:,} lines without quantity or money are left out")
        results = benchmark.run(split, settings, names, progress=say)
        say("comparing")
        seed = int(settings.validation["seed"])
        found = benchmark.tests(results, seed)
    if as_json:
        typer.echo(json.dumps(benchmark.document(split, results, found, seed)))
        return
    for line in benchmark.lines(results, found, seed):
        typer.echo(line, err=True)
    shown = [replace(result, figures=benchmark.headlines(result), note="") for result in results]
    _answer("The Complete Journey, weeks 45 to 48, NDCG@20", shown, settings.peers, "any", False)


def _show_weights(weights: dict[str, float], as_json: bool) -> None:
    import json

    plain = "\n".join(f"{name} = {value:g}" for name, value in weights.items())
    typer.echo(json.dumps({"weights": weights}) if as_json else plain)


def _chosen(settings: BenchmarkSettings, names: list[str] | None) -> list[str]:
    from recsys.errors import Invalid

    if not names:
        return list(settings.models)
    if unknown := sorted(set(names) - set(settings.models)):
        raise Invalid(
            f"--model {', '.join(unknown)} is not in this benchmark's settings; "
            f"known: {', '.join(settings.models)}"
        )
    return names


def _answer(
    title: str, results: list[Result], peers: Sequence[dict[str, object]], sort_by: str, as_json: bool
) -> None:
    import json

    from rich.console import Console

    from training.paper_benchmarks.results_table import show

    if as_json:
        typer.echo(json.dumps({"models": [result.as_json() for result in results]}))
    else:
        show(title, results, peers, sort_by, Console())


class _progress:
    """A line on stderr that says what is being done."""

    def __enter__(self) -> Callable[[str], None]:
        from rich.console import Console

        self._status = Console(stderr=True, log_path=False).status("reading")
        self._status.start()
        return self._say

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def _say(self, line: str) -> None:
        self._status.update(line)
        self._status.console.log(line)
