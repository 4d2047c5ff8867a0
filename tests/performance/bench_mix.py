"""The mix of a busy hour on the demo's data at 100 and 300 requests a second, one worker, everything running.

Run it by `make bench` (after `make demo`), or `python -m tests.performance.bench_mix [--seconds 20]`.
Goals on two cores: no 503, at least 99% of the lists complete, writes p99 below 250 ms, no closed connection.
"""

from __future__ import annotations

import argparse
import asyncio

from rich.console import Console

from recsys.embedded import start
from recsys.settings import get_settings
from tests.performance.bench_answers import api
from tests.performance.load.mix import busy_hour, send, users_and_products

RATES = (100.0, 300.0)
WARM_SECONDS = 3
console = Console(highlight=False)


def main() -> None:
    """Print a line for each rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    start(get_settings())
    users, products = users_and_products()
    with api(given.workers) as url:
        asyncio.run(send(url, busy_hour(users, products, int(100 * WARM_SECONDS), 1), 100.0))
        for rate in RATES:
            requests = busy_hour(users, products, int(rate * given.seconds), int(rate))
            result = asyncio.run(send(url, requests, rate))
            statuses = ", ".join(f"{count} × {status}" for status, count in sorted(result.statuses.items()))
            sources = ", ".join(f"{source} {count}" for source, count in sorted(result.sources.items()))
            console.print(
                f"{rate:.0f}/s: lists p50 {result.quantile(0.5, 'list'):.1f}, p99 "
                f"{result.quantile(0.99, 'list'):.1f} ms, {result.complete:.2%} complete ({sources}); "
                f"interactions p99 {result.quantile(0.99, 'interaction'):.1f}, views p99 "
                f"{result.quantile(0.99, 'view'):.1f} ms; "
                f"{statuses}; {result.closed} connections closed"
            )


if __name__ == "__main__":
    main()
