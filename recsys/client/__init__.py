"""A client of the HTTP API for Python programs: it needs httpx alone and loads nothing of the service.

>>> from recsys.client import RecsysClient, ShopEvent
>>> with RecsysClient("https://recsys.shop.example", key="…") as client:
...     client.send_events([ShopEvent("view", product="EL-0118", user="cust1000")])
...     names = [item.name for item in client.recommend("cust1000", limit=5).items]

`AsyncRecsysClient` has the same methods as coroutines.
"""

from __future__ import annotations

try:
    from recsys.client.client import AsyncRecsysClient, RecsysClient
except ModuleNotFoundError as error:
    if error.name != "httpx":
        raise
    raise ModuleNotFoundError(
        "recsys.client needs httpx: pip install 'recsys[client]'", name="httpx"
    ) from error
from recsys.client.errors import ClientError, NoAnswer, ProblemAnswer
from recsys.client.events import ListFeedback, ShopEvent
from recsys.client.results import (
    EventReport,
    EventVerdict,
    ListProvenance,
    RecommendedList,
    RecommendedProduct,
    SearchedProducts,
)
from recsys.client.retries import RetryPolicy

__all__ = [
    "AsyncRecsysClient",
    "ClientError",
    "EventReport",
    "EventVerdict",
    "ListFeedback",
    "ListProvenance",
    "NoAnswer",
    "ProblemAnswer",
    "RecommendedList",
    "RecommendedProduct",
    "RecsysClient",
    "RetryPolicy",
    "SearchedProducts",
    "ShopEvent",
]
