"""`recsys train evaluate-items`: lists that start from a product, beside the floors that they must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from training.commands.console import AsJson, print_json, print_table, table_of

if TYPE_CHECKING:
    from training.evaluation.item_lists import ItemListFigures

__all__ = ["app"]

app = typer.Typer()


@app.command("evaluate-items")
def evaluate_items(
    algorithms: Annotated[
        list[str] | None,
        typer.Argument(
            help="Algorithms, or names of experiments; by default all that answer from a product.",
            metavar="NAME...",
        ),
    ] = None,
    test_days: Annotated[float, typer.Option(min=0.01, help="Length of the test period.")] = 28.0,
    k: Annotated[int, typer.Option(min=1, max=100, help="List length.")] = 10,
    draws: Annotated[int, typer.Option(min=100, max=100_000, help="Resamples for intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of resamples and of seeds.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Judge similar products and products bought together on what people did after a cutoff.

    Each model is fitted on the data before the last days and ranks the full catalogue for held-out products.

    Example: recsys train evaluate-items similar_items item_knn --json
    """
    from training.evaluation.summary import plain
    from training.fit.evaluate_registered import open_dataset
    from training.fit.item_models import ITEM_ALGORITHMS, item_model, judge_items
    from training.progress import Steps

    models = {name: item_model(name) for name in algorithms or ITEM_ALGORITHMS}
    found = judge_items(
        models, open_dataset(), test_days, k=k, draws=draws, seed=seed, steps=Steps(Console(stderr=True))
    )
    if as_json:
        print_json(
            {"k": k, "test_days": test_days, "questions": plain(found.notes), "models": plain(found.figures)}
        )
        return
    for question, note in found.notes.items():
        _show(question, note, [one for one in found.figures if one.question == question], k)


def _show(question: str, note: str, figures: list[ItemListFigures], k: int) -> None:
    console = Console()
    console.print(f"{question}: {note}.", markup=False, highlight=False, soft_wrap=True)
    if not figures:
        return
    table = table_of(
        "", f"NDCG@{k}", f"hit rate@{k}", "rare products", "coverage", "ten most common", "no list"
    )
    for one in sorted(figures, key=lambda each: -each.figures["ndcg"][0]):
        cells = [
            f"{mean:.4f} {low:.4f}–{high:.4f}"
            for mean, low, high in [one.figures[name] for name in ("ndcg", "hit_rate", "stratified_ndcg")]
        ]
        shares = (one.coverage, one.leading_share, one.empty_share)
        table.add_row(escape(one.model), *cells, *(f"{share:.1%}" for share in shares))
    print_table(table, console)
    console.print(
        f"  {figures[0].queries:,} held-out pairs of {figures[0].people:,} people, each person counted once; "
        "rare products: NDCG in which a product counts less the more interactions it has",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
