"""`recsys train interleaving`: visitors that interleaved lists save, in a shop whose tastes are known."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands.console import AsJson, print_json, print_table, table_of

__all__ = ["app"]

app = typer.Typer()


@app.command()
def interleaving(
    shop: Annotated[Path, typer.Argument(help="Folder of a shop that `recsys simulate` made.")],
    control_noise: Annotated[
        float, typer.Option(help="Noise of the control's ranking; 0 ranks by the true tastes.")
    ] = 1.0,
    challenger_noise: Annotated[float, typer.Option(help="Noise of the challenger's ranking.")] = 0.7,
    places: Annotated[int, typer.Option(help="Products of a list.")] = 10,
    click_rate: Annotated[
        float, typer.Option(help="Chance of a click on a user's best product at the first place.")
    ] = 0.1,
    per_day: Annotated[int, typer.Option(help="Visitors of a day, each with one list.")] = 1_000,
    days: Annotated[int, typer.Option(help="Days of an experiment.")] = 60,
    runs: Annotated[int, typer.Option(help="Experiments of each kind.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare the visitors that an A/B test and interleaved lists need, and count their false alarms.

    Two models rank by the shop's true tastes with noise, so the better one is known. Every experiment is
    looked at daily until it is decided, at 95% for all looks together. False alarms are counted with two
    equal models.

    Example: recsys simulate shop/ --users 2000 --products 500 && recsys train interleaving shop/
    """
    from recsys.processes.priority import give_way
    from recsys.simulation.truth import ShopTruth
    from training.studies.interleaving import StudyTerms, study

    give_way()
    terms = StudyTerms(control_noise, challenger_noise, places, click_rate, per_day, days, runs, seed)
    steps = Console(stderr=True)
    figures = study(ShopTruth.load(shop), terms, progress=lambda text: steps.print(text, style="dim"))
    if as_json:
        print_json(asdict(terms) | asdict(figures))
        return
    console = Console()
    console.print(
        f"Of the visitors {figures.control_clicks:.2%} click in the control's lists and "
        f"{figures.challenger_clicks:.2%} in the challenger's. Median of {terms.runs} experiments, looked at "
        f"every {terms.per_day:,} visitors up to {terms.per_day * terms.days:,}:",
        soft_wrap=True,
        highlight=False,
    )
    table = table_of("design", "found", "wrong", "visitors", "fewer", "alarms", "bound")
    for each in figures.designs:
        table.add_row(
            each.name,
            f"{each.decided:.0%}",
            f"{each.wrong:.1%}",
            "more" if each.visitors is None else f"{each.visitors:,.0f}",
            "–" if each.times_fewer is None else f"{each.times_fewer:.1f} times",
            f"{each.false_alarms} of {each.runs}",
            f"{each.false_alarms_bound:.1%}",
        )
    print_table(table, console)
    console.print(
        "Found, wrong: experiments that found the better model, and the other. Visitors: until the better "
        "one is found; fewer: than in the A/B test. Alarms: experiments with two equal models that found a "
        "difference at any look; bound: of their share, 95%.",
        style="dim",
        soft_wrap=True,
        highlight=False,
    )
