"""What processes count, and the state of the shop, in Prometheus' text format."""

from __future__ import annotations

import os
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "REGISTRY", "counted", "observe_request", "render"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
REGISTRY = CollectorRegistry()
"""One per process; other packages register their own figures here."""

_REQUESTS = Counter(
    "recsys_http_requests", "Requests answered.", ["method", "route", "status"], registry=REGISTRY
)
_SECONDS = Histogram(
    "recsys_http_request_seconds",
    "Seconds from the first byte of a request to the last of its answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)
# looking up a labelled child costs more than counting: keep the few there are
_children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request. `route` is the template, so that no id becomes a label."""
    key = (method, route, status)
    children = _children.get(key)
    if children is None:
        children = _children[key] = (_REQUESTS.labels(method, route, str(status)), _SECONDS.labels(route))
    children[0].inc()
    children[1].observe(seconds)


def render(state: Collector | None = None) -> bytes:
    """Everything counted so far, by all processes that count together with this one.

    Parameters
    ----------
    state
        Figures that belong to no process, which follow.
    """
    written = generate_latest(_of_all_processes())
    if state is None:
        return written
    of_shop = CollectorRegistry()
    of_shop.register(state)
    return written + generate_latest(of_shop)


def counted(name: str) -> list[tuple[Mapping[str, str], float]]:
    """The labels and the value of each child of a counter, of all processes that count together."""
    return [
        (sample.labels, sample.value)
        for family in _of_all_processes().collect()
        if family.name == name
        for sample in family.samples
        if sample.name == f"{name}_total"
    ]


def _of_all_processes() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    of_all = CollectorRegistry()
    MultiProcessCollector(of_all)  # type: ignore[no-untyped-call]
    return of_all
