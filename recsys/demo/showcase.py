"""What the demo shows at its end: some recommendations over HTTP, URLs to try, and the table of costs."""

from __future__ import annotations

import json
import os
import platform
import shlex
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recsys.demo.stages import Figures

__all__ = [
    "fetch",
    "report_of_active_model",
    "sample_users",
    "show_costs",
    "show_pages",
    "show_recommendations",
    "show_urls",
    "why_not",
    "write",
]

# Straight to our own API: a proxy of the environment has no business with the loopback interface.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url: str) -> Any:
    """The JSON at a URL of the API. Raises OSError (urllib.error.URLError) when it does not answer well."""
    with _opener.open(url, timeout=10) as answer:
        return json.load(answer)


def why_not(url: str) -> str:
    """What the API says of itself where it does not answer well; empty when it says nothing."""
    try:
        with _opener.open(url, timeout=10):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return " ".join(str(json.loads(error.read()).get("detail", "")).split())


def sample_users(
    shop: psycopg.Connection, recommendations: psycopg.Connection, count: int = 3
) -> list[tuple[int, str]]:
    """Ids and names of some users with stored recommendations, or of any users.

    Parameters
    ----------
    shop, recommendations
        Connections to the users, and to the stored recommendations.
    """
    listed = recommendations.execute(
        "SELECT DISTINCT user_id FROM recommendations_db.product_recommendations ORDER BY user_id LIMIT %s",
        [count],
    ).fetchall()
    rows = shop.execute(
        "SELECT id, username FROM users_db.users WHERE id = ANY(%(ids)s) OR cardinality(%(ids)s) = 0 "
        "ORDER BY id LIMIT %(count)s",
        {"ids": [user for (user,) in listed], "count": count},
    ).fetchall()
    return [(int(user), str(name)) for user, name in rows]


def report_of_active_model(connection: psycopg.Connection, var: Path) -> tuple[str | None, Path | None]:
    """The active model's name, and its report if that is still there."""
    row = connection.execute(
        "SELECT name, parameters ->> 'report' FROM recommendations_db.recommendation_models "
        "WHERE is_active ORDER BY id DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None, None
    page = var / row[1] if row[1] else None
    return str(row[0]), page if page is not None and page.is_file() else None


def show_pages(console: Console, api: str) -> None:
    """The addresses of the pages for people."""
    console.print("Open in a browser:", style="bold")
    for path, text in (
        ("/shop", "the shop front: be a household or a guest, and see the lists follow"),
        ("/console", "the console: what is served, why, rules, models"),
    ):
        console.print(f"  {api + path:<32} {text}", markup=False, highlight=False, soft_wrap=True)
    console.print()


def show_recommendations(
    console: Console, api: str, users: Sequence[tuple[int, str]], limit: int = 5
) -> int | None:
    """One table for each user; returns a product that was recommended, to be tried in a URL."""
    example: int | None = None
    for user, name in users:
        answer = fetch(f"{api}/api/v1/users/{user}/recommendations?limit={limit}")
        origin = answer["provenance"]
        table = Table(
            title=f"for user {user} ({escape(name)}), {origin['source']} by {origin['model'] or 'no model'}",
            title_justify="left",
            box=None,
            pad_edge=False,
        )
        for heading in ("product", "price", "score", "reason"):
            table.add_column(heading, justify="right" if heading in {"price", "score"} else "left")
        for item in answer["items"]:
            table.add_row(
                escape(item["name"]),
                f"{float(item['price']):.2f}",
                f"{item['score']:.4f}",
                escape(item["reason"]["text"]),
            )
            example = example or int(item["product_id"])
        console.print(table)
        console.print()
    return example


def show_urls(console: Console, api: str, user: int | None, product: int | None) -> None:
    """Lines that work when pasted into a shell."""
    lines = []
    if user is not None:
        lines.append(f"curl {_quoted(f'{api}/api/v1/users/{user}/recommendations?limit=10')}")
        lines.append(f"curl {_quoted(f'{api}/api/v1/users/{user}/recommendations?limit=10&novelty=new')}")
    if product is not None:
        lines.append(f"curl {_quoted(f'{api}/api/v1/products/{product}/similar?limit=10')}")
    lines.append(f"curl {_quoted(f'{api}/api/v1/products/popular?limit=10')}")
    if user is not None and product is not None:
        event = json.dumps({"user_id": user, "product_id": product, "interaction_type": "view"})
        lines.append(
            f"curl -X POST {_quoted(f'{api}/api/v1/interactions')} "
            f"-H 'content-type: application/json' -d {_quoted(event)}"
        )
    lines.append(f"curl {_quoted(f'{api}/health/ready')}")
    console.print("Try it:", style="bold")
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"  all of the API: {api}/docs", markup=False, highlight=False, soft_wrap=True)


def show_costs(console: Console, figures: Sequence[Figures]) -> None:
    """The table of seconds and peak memory."""
    servers = list(dict.fromkeys(name for each in figures for name in each.servers_mib))
    table = Table(title="what it took", title_justify="left", box=None, pad_edge=False)
    table.add_column("stage")
    for heading in ("seconds", "peak MiB", *(f"{name}'s largest process, MiB" for name in servers)):
        table.add_column(heading, justify="right")
    for each in figures:
        memory = [_number(each.servers_mib.get(name)) for name in servers]
        table.add_row(each.stage, f"{each.seconds:.1f}", _number(each.peak_mib), *memory)
    peaks = [
        _number(max((each.servers_mib.get(name, 0.0) for each in figures), default=0.0)) for name in servers
    ]
    table.add_section()
    total = sum(each.seconds for each in figures)
    table.add_row(
        "all", f"{total:.1f}", _number(max(each.peak_mib for each in figures)), *peaks, style="bold"
    )
    console.print(table)


def write(
    path: Path, figures: Sequence[Figures], *, api: str, model: str | None, report: Path | None
) -> None:
    """The same figures as JSON."""
    servers = [peak for each in figures for peak in each.servers_mib.values()]
    document = {
        "stages": [asdict(each) for each in figures],
        "seconds": round(sum(each.seconds for each in figures), 2),
        "peak_mib": max([each.peak_mib for each in figures] + servers),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "api": api,
        "model": model,
        "report": str(report) if report else None,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _quoted(text: str) -> str:
    return shlex.quote(text)
