"""`recsys train search-quality`: what a known user's own order of search results is worth."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from training.commands.console import AsJson, print_json, print_table, registered, table_of

if TYPE_CHECKING:
    from training.report.search_section import SearchSection
    from training.report.sections import Measure

__all__ = ["app"]

app = typer.Typer()


class QueriesBy(StrEnum):
    """What a query is made of; the words of `training.search_evaluation.queries.By`."""

    TYPE = "type"
    CATEGORY = "category"


@app.command("search-quality")
def search_quality(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names of registered models; default: the serving model.", metavar="NAME..."),
    ] = None,
    by: Annotated[
        QueriesBy,
        typer.Option("--by", help="Search by the product's kind (its name without size) or category."),
    ] = QueriesBy.TYPE,
    test_days: Annotated[float, typer.Option(min=0.01, help="Length of the test period.")] = 28.0,
    choose: Annotated[
        bool, typer.Option("--choose/--as-set", help="Try other weights on the weeks before the test, too.")
    ] = True,
    draws: Annotated[
        int, typer.Option(min=100, max=100_000, help="Resamples for intervals and paired tests.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the resamples.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Search for what users bought in the last weeks, with and without their own order; kept in the report.

    Nothing that happened after the cutoff is used: models are fitted before it, popularity is counted
    up to it. Minutes for a year of purchases.

    Example: recsys train search-quality tifu_knn-v1
    """
    from training.fit.evaluate_registered import open_dataset
    from training.progress import Steps
    from training.search_evaluation.evaluate import SearchEvaluationPlan, measure
    from training.search_evaluation.report import keep

    plan = SearchEvaluationPlan(by.value, test_days, choose, draws, seed)
    found = measure(names or [], open_dataset(), plan, Steps(Console(stderr=True)))
    pages = [keep(registered(section.model), section) for section in found]
    if as_json:
        print_json(
            [
                {**section.model_dump(mode="json"), "report": str(page)}
                for section, page in zip(found, pages, strict=True)
            ]
        )
        return
    for section, page in zip(found, pages, strict=True):
        _show(section)
        typer.echo(f"Report: {page}")


def _show(section: SearchSection) -> None:
    from training.evaluation.significance import format_p
    from training.report.plots.search_plot import ORDERS

    console = Console()
    days = (section.until - section.cutoff).total_seconds() / 86400
    console.print(
        f"{section.model} ({section.how}): {section.queries:,} searches ({section.distinct:,} different) of "
        f"{section.users:,} users for what they bought in the {days:g} days after "
        f"{section.cutoff:%Y-%m-%d %H:%M}. Search finds nothing right for {section.missed:.1%}, and "
        f"{section.reached:.1%} of what is right.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    first, last = section.ks[0], section.ks[-1]
    table = table_of("order", "weights", f"NDCG@{first}", f"MRR@{last}", f"hits@{first}", "again", "new")
    for one in section.rankings:
        own = "" if one.personal_weight is None else f", {one.personal_weight:g}"
        table.add_row(
            ORDERS[one.name],
            f"{one.popularity_weight:g}{own}",
            _number(one.metrics["ndcg"][0]),
            _number(one.metrics["mrr"][-1]),
            _number(one.metrics["hit_rate"][0]),
            _number(one.segments["again"][0]),
            _number(one.segments["new"][0]),
        )
    print_table(table, console)
    tests = table_of("right", "order", "NDCG", "95%", "p", "")
    for c in section.comparisons:
        verdict = "chance" if not c.significant else "better" if c.difference > 0 else "worse"
        tests.add_row(
            c.segment,
            ORDERS[c.a],
            f"{c.difference:+.4f}",
            f"{c.low:+.4f} to {c.high:+.4f}",
            format_p(c.p_value, c.p_floor, name=""),
            verdict,
        )
    print_table(tests, console)
    console.print(
        f"again, new: NDCG@{first} where only products count that the user had touched before, or had not. "
        "Each order is compared with the one before it; p is Holm-adjusted for all rows.",
        style="dim",
        highlight=False,
    )


def _number(measure: Measure) -> str:
    return "–" if measure.value is None else f"{measure.value:.4f}"
