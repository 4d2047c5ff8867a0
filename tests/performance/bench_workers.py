"""What each further worker process of `recsys serve api --workers N` adds in memory, in steady use.

Run it by `make bench`, or `python -m tests.performance.bench_workers [--requests 600]`. It serves what lies
in the setting `var` (the demo's 90,000 products), starting the embedded servers if they do not run, and says
so where there is nothing yet. Each round starts the command with 1, 2 and 3 workers, sends stored, folded-in,
similar and filtered lists until every worker has answered many, and adds up the proportional memory of all
its processes (PSS: a page that n processes share counts 1/n), before and after a model switch.

Of a worker, `own` is what it shares with nobody (USS). The first step, from 1 to 2, also pays for the process
that watches the workers; the second is a worker and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from rich.console import Console
from sqlalchemy import text

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.embedded import start
from recsys.settings import get_settings
from tests.support.servers import ROOT

BOUND = 60.0
"""MiB that the issue allows the second worker."""
AT_ONCE = 6
_LINE = re.compile(r"(\w+):\s+(\d+) kB")
_console = Console(highlight=False)


def memory(pid: int) -> tuple[float, float]:
    """Proportional and own memory of a process in MiB."""
    found = dict(_LINE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text()))
    own = int(found["Private_Clean"]) + int(found["Private_Dirty"])
    return int(found["Pss"]) / 1024, own / 1024


def processes(parent: int) -> list[int]:
    """The process and its children."""
    return [parent, *sorted(child.pid for child in psutil.Process(parent).children(recursive=True))]


@contextmanager
def serving(workers: int) -> Iterator[tuple[int, str]]:
    """The pid and the address of a server that is ready."""
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen(
            [sys.executable, "-m", "recsys", "serve", "api", "--workers", str(workers), "--port", "8790"],
            cwd=ROOT, stdout=nowhere, stderr=nowhere,
            env=os.environ | {"RECSYS_API__RATE_PER_SECOND": "0", "RECSYS_LOG_LEVEL": "WARNING",
                              "RECSYS_SERVING__DEADLINE_MS": "10000"},
        )  # fmt: skip
        address = get_settings().var / "run" / "api.json"
        try:
            while (url := _ready(address, process.pid)) is None:
                if process.poll() is not None:
                    raise SystemExit("the API did not start; `recsys serve api` says why")
                time.sleep(0.2)
            yield process.pid, url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _ready(address: Path, pid: int) -> str | None:
    try:
        noted = json.loads(address.read_text())
        url = str(noted["url"])
        good = noted["pid"] == pid and httpx.get(f"{url}/health/ready", timeout=10).status_code == 200
    except (OSError, ValueError, httpx.TransportError):
        return None
    return url if good else None


def ask(url: str, requests: int) -> float:
    """Send so many requests of all kinds, a connection each so that all workers get some; per second."""
    popular = httpx.get(f"{url}/api/v1/products/popular?limit=50", timeout=30).json()["items"]
    products = [item["product_id"] for item in popular]
    with unit_of_work() as session:
        users = list(
            session.scalars(text("SELECT DISTINCT user_id FROM recommendations_db.stored_lists LIMIT 500"))
        )

    def one(turn: int) -> None:
        user, product = users[turn % len(users)], products[turn % len(products)]
        path = (
            f"users/{user}/recommendations",
            f"users/{user}/recommendations?novelty=new&in_stock=true&limit=30",
            f"products/{product}/similar",
            f"users/{user}/recommendations?min_price=1&diversity=0.5&explain=true",
        )[turn % 4]
        httpx.get(f"{url}/api/v1/{path}", timeout=60).raise_for_status()

    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(requests)))
    return requests / (time.perf_counter() - began)


def switch(url: str) -> None:
    """Another registered model serves, and after it the former again; all workers follow."""
    with unit_of_work() as session:
        former = registry.active(session)
        assert former is not None
        names = [one.name for one in registry.list_models(session) if one.name != former.name]
    for name in (names[0], former.name) if names else ():
        with unit_of_work() as session:
            registry.activate(session, name)
        time.sleep(3.0)
        ask(url, 60)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=600)
    requests = parser.parse_args().requests
    start(get_settings())
    with unit_of_work() as session:
        if registry.active(session) is None:
            _console.print("nothing is trained in var/ yet; run `make demo` first")
            return
    totals: dict[str, list[float]] = {}
    for workers in (1, 2, 3):
        with serving(workers) as (pid, url):
            rate = ask(url, requests * workers)
            lines = [f"{workers} worker{'s' * (workers > 1)}: {rate:,.0f} requests/s of all kinds"]
            for name in ("in use", "after a model switch"):
                if name != "in use":
                    switch(url)
                    ask(url, requests)
                figures = [memory(one) for one in processes(pid)]
                totals.setdefault(name, []).append(sum(pss for pss, _ in figures))
                each = ", ".join(f"{pss:.0f} ({own:.0f} own)" for pss, own in figures)
                lines.append(f"  {name}: {totals[name][-1]:.0f} MiB in all; of each process {each}")
            _console.print("\n".join(lines))
    for name, (one, two, three) in totals.items():
        _console.print(
            f"{name}: the second worker adds {two - one:.0f} MiB with the process that watches, "
            f"the third {three - two:.0f} MiB; ratio to the {BOUND:.0f} MiB allowed: "
            f"{(two - one) / BOUND:.2f} and {(three - two) / BOUND:.2f}"
        )


if __name__ == "__main__":
    main()
