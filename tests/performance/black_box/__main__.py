"""The lists that a shop gets at the default, beside those of simple peers: NDCG@20 on what was held out.

Run as `python -m tests.performance.black_box --data FOLDER --shop movies`; `--shop` may be repeated. With
`--small 400 100` shops of 400 users and 100 products are made of them, one for each of `--seeds`. For each
shop the commands of the README run on its files, with nothing set, in embedded servers of its own: import,
features, `train run --all`, `serve score`, `recsys export lists`. Prints NDCG@20 with a 95% interval by
bootstrap over users, and the ratio and the difference to the best peer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.console import Console
from rich.table import Table

from tests.performance.black_box.peers import PEERS, Log, peer_lists
from tests.performance.black_box.shop import BlackBoxShop, Question, part_of
from tests.performance.black_box.shops import SHOPS
from tests.performance.scale.commands import Servers, measured
from tests.support.servers import temporary_var

K = 20
DRAWS = 2_000
console = Console(highlight=False, width=120)

Values = npt.NDArray[np.float64]


def ndcg(lists: Mapping[str, list[str]], truth: pl.DataFrame) -> Values:
    """NDCG@20 of each user of the truth, in its order; 0 for a user without a list."""
    gain = 1 / np.log2(np.arange(K) + 2)
    values = []
    for (user,), rows in truth.group_by(["user"], maintain_order=True):
        wanted = set(rows["product"])
        found = sum(
            gain[place] for place, product in enumerate(lists.get(str(user), [])[:K]) if product in wanted
        )
        values.append(found / gain[: len(wanted)].sum())
    return np.array(values)


def interval(values: Values) -> tuple[float, float]:
    """The 95% interval of the mean, by bootstrap over users."""
    draws = np.random.default_rng(0).integers(0, values.size, (DRAWS, values.size))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def served(shop: BlackBoxShop, var: Path) -> dict[str, dict[str, list[str]]]:
    """Run the README's commands; the exported lists of each question by user."""
    servers = Servers(var)
    products, interactions = var / "products.csv", var / "interactions.csv"
    shop.products.write_csv(products)
    shop.interactions.write_csv(interactions)
    measured(servers, "up")
    measured(servers, "migrate", json_option=False)
    measured(
        servers,
        "import",
        "csv",
        "--products",
        str(products),
        "--interactions",
        str(interactions),
        "--create-missing",
        *([] if "created_at" in shop.interactions.columns else ["--no-times"]),
    )
    measured(servers, "features", "build")
    trained = measured(servers, "train", "run", "--all")
    scored = measured(servers, "serve", "score")
    console.print(
        f"{shop.name}: trained in {trained.cpu:,.0f} s of processor time, scored in {scored.cpu:,.0f} s"
    )
    lists: dict[str, dict[str, list[str]]] = {}
    for question in shop.questions:
        file = var / f"{question.name}.csv"
        measured(
            servers, "export", "lists", "--question", question.name, "--top", str(K), "--output", str(file)
        )
        rows = pl.read_csv(file, schema_overrides={"username": pl.String, "sku": pl.String}).sort(
            "username", "rank"
        )
        lists[question.name] = {
            str(user): group["sku"].to_list()
            for (user,), group in rows.group_by(["username"], maintain_order=True)
        }
    return lists


def compared(question: Question, lists: Mapping[str, list[str]], log: Log) -> dict[str, object]:
    """The figures of one question: of what is served, and of each peer."""
    values = {"served": ndcg(lists, question.truth)}
    for name in PEERS:
        values[name] = ndcg(peer_lists(log, name, question.name, K), question.truth)
    best = max(PEERS, key=lambda name: values[name].mean())
    return {
        "users": values["served"].size,
        "lists": len(lists),
        "ndcg": {name: [float(each.mean()), *interval(each)] for name, each in values.items()},
        "best_peer": best,
        "ratio": float(values["served"].mean() / values[best].mean()),
        "difference": [
            float((values["served"] - values[best]).mean()),
            *interval(values["served"] - values[best]),
        ],
    }


def show(shop: str, question: str, figures: Mapping[str, object]) -> None:
    """Print one question of a shop."""
    table = Table(title=f"{shop}, question {question}: {figures['users']} users, {figures['lists']} lists")
    table.add_column("lists of")
    table.add_column("NDCG@20", justify="right")
    table.add_column("95% interval", justify="right")
    rows = figures["ndcg"]
    assert isinstance(rows, dict)
    for name, (mean, low, high) in rows.items():
        table.add_row(name, f"{mean:.4f}", f"{low:.4f} to {high:.4f}")
    console.print(table)
    difference = figures["difference"]
    assert isinstance(difference, list)
    console.print(
        f"served / {figures['best_peer']}: {figures['ratio']:.3f}; difference {difference[0]:+.4f} "
        f"({difference[1]:+.4f} to {difference[2]:+.4f})"
    )


def main() -> None:
    """Measure the shops of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with ml-100k, retailrocket, beauty")
    parser.add_argument("--shop", action="append", choices=sorted(SHOPS), required=True)
    parser.add_argument(
        "--small", type=int, nargs=2, metavar=("USERS", "PRODUCTS"), help="measure parts of the shops instead"
    )
    parser.add_argument("--seeds", type=int, default=1, help="parts of each shop")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    figures: dict[str, dict[str, object]] = {}
    for kind, seed in product(given.shop, range(given.seeds if given.small else 1)):
        try:
            shop = SHOPS[kind](given.data)
        except OSError as error:
            sys.exit(f"black_box: {error}; give the folder of the data sets with --data")
        name = f"{kind}, part {seed}" if given.small else kind
        if given.small:
            shop = part_of(shop, *given.small, seed)
        log = Log(shop.interactions, shop.target)
        with temporary_var() as var:
            lists = served(shop, var)
        for question in shop.questions:
            found = compared(question, lists[question.name], log)
            figures.setdefault(name, {})[question.name] = found
            show(shop.name, question.name, found)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
