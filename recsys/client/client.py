"""The clients: `RecsysClient`, and `AsyncRecsysClient` with the same methods as coroutines."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from recsys.client import calls
from recsys.client.calls import ClientCall
from recsys.client.events import ListFeedback, ShopEvent
from recsys.client.results import EventReport, RecommendedList, SearchedProducts
from recsys.client.retries import Attempts, RetryPolicy

__all__ = ["AsyncRecsysClient", "RecsysClient"]

Result = TypeVar("Result")
Id = int | str
"""The number of a row, or, as a text, the shop's own id: a SKU or a username."""


def _transport_options(url: str, key: str | None, token: str | None, timeout: float) -> dict[str, Any]:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(
            "the address of the API is not a URL, such as https://recsys.shop.example"
        ) from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("the address of the API begins with https:// or http:// and a host name")
    headers = {"Accept": "application/json", "User-Agent": "recsys-client/1"}
    if key is not None:
        headers["X-Api-Key"] = key
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        raise ValueError("a key or token has characters that no key has; was a line break copied with it?")
    # redirects are not followed: the key would go to another address
    return {"base_url": str(parsed).rstrip("/"), "headers": headers, "timeout": timeout}


class _Calls:
    """What both clients share: their options, and the arguments of each request."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        user_token: str | None = None,
        timeout: float = 5.0,
        retries: RetryPolicy | None = None,
    ) -> None:
        self._options = _transport_options(url, key, user_token, timeout)
        self._retries = retries or RetryPolicy()
        self._jitter = random.Random(self._retries.seed)
        self._connect()

    def _connect(self) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options['base_url']!r})"

    def _attempts(self, call: ClientCall[Any]) -> Attempts:
        return Attempts(self._retries, self._jitter, call.repeatable)

    @staticmethod
    def _arguments(call: ClientCall[Any]) -> dict[str, Any]:
        return {
            "method": call.method,
            "url": call.path,
            "params": list(call.query),
            "headers": dict(call.headers),
            **({} if call.body is None else {"json": call.body}),
        }


class RecsysClient(_Calls):
    """Calls the API and waits for the answer; one object serves many threads.

    Parameters
    ----------
    url
        The address of the API, such as https://recsys.shop.example; a path before /api/v1 is kept.
    key
        An API key (`recsys keys create`): `recommend` opens lists, `events` events, `admin` rule previews.
    user_token
        The log-in of one user, sent as `Authorization: Bearer`, for that user's own lists and events.
    timeout
        Seconds for each request.
    retries
        What is sent again; by default up to three more times within 30 seconds.

    Raises
    ------
    ValueError
        The address, the key or the token can be none.
    """

    _http: httpx.Client

    def _connect(self) -> None:
        self._http = httpx.Client(**self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _run(self, call: ClientCall[Result]) -> Result:
        attempts = self._attempts(call)
        while True:
            try:
                response = self._http.request(**self._arguments(call))
            except httpx.TransportError as error:
                wait: float | None = attempts.after_failure(error)
            else:
                wait = attempts.after_response(response)
                if wait is None:
                    return call.result(response)
            time.sleep(wait or 0)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Call any other operation and return its JSON.

        Parameters
        ----------
        method, path
            Of the operation, such as GET and /api/v1/products.
        query, json, headers
            Parameters of the query, body and headers of the request. GET, HEAD, PUT and DELETE are retried,
            others only with an `Idempotency-Key` among their headers.
        """
        return self._run(calls.any_call(method, path, query or {}, json, headers or {}))

    def recommend(
        self, user: Id | None = None, *, session_id: str | None = None, **parameters: Any
    ) -> RecommendedList:
        """Return a list for a user, or for a guest's session.

        Parameters
        ----------
        user
            Whose list: a number or a username; None for guests.
        session_id
            The guest's visit.
        **parameters
            limit, placement, novelty, diversity, explain, country, cursor, fields, category, brand,
            min_price, max_price, tags, in_stock, exclude; other filters as `**{"attr.color": "red"}`.
        """
        return self._run(calls.list_call("recommendations", user=user, session_id=session_id, **parameters))

    def similar(self, product: Id, **parameters: Any) -> RecommendedList:
        """Return products like this one."""
        return self._run(calls.list_call("similar", product=product, **parameters))

    def bought_together(self, product: Id, **parameters: Any) -> RecommendedList:
        """Return products that are bought together with this one."""
        return self._run(calls.list_call("bought-together", product=product, **parameters))

    def popular(self, **parameters: Any) -> RecommendedList:
        """Return the products that most people chose recently."""
        return self._run(calls.list_call("popular", **parameters))

    def new(self, **parameters: Any) -> RecommendedList:
        """Return the newest products."""
        return self._run(calls.list_call("new", **parameters))

    def page(self, body: Mapping[str, Any]) -> dict[str, RecommendedList]:
        """Return the lists of a page by name.

        Parameters
        ----------
        body
            As of `page_recommendations` (`PageIn`).
        """
        return self._run(calls.page_call(body))

    def search(self, text: str, **parameters: Any) -> SearchedProducts:
        """Search products.

        Parameters
        ----------
        **parameters
            As of `search_products`, such as limit, category and cursor.
        """
        return self._run(calls.search_call(text, **parameters))

    def preview_rule(self, rule: Mapping[str, Any], **request: Any) -> Any:
        """Return a list before and after a rule, which is not stored; for keys with the scope `admin`."""
        return self._run(calls.preview_call(rule, request))

    def send_events(self, events: Sequence[ShopEvent]) -> EventReport:
        """Send interactions and return the verdict of each; those that are sent twice are stored once."""
        sent = [(size, self._run(call)) for size, call in calls.event_calls(events)]
        return EventReport.joined([report for _, report in sent], [size for size, _ in sent])

    def send_feedback(self, feedback: Sequence[ListFeedback]) -> EventReport:
        """Send feedback on recommended products and return the verdict of each piece."""
        sent = [(size, self._run(call)) for size, call in calls.feedback_calls(feedback)]
        return EventReport.joined([report for _, report in sent], [size for size, _ in sent])


class AsyncRecsysClient(_Calls):
    """Calls the API from coroutines; parameters and methods are those of `RecsysClient`."""

    _http: httpx.AsyncClient

    def _connect(self) -> None:
        self._http = httpx.AsyncClient(**self._options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _run(self, call: ClientCall[Result]) -> Result:
        attempts = self._attempts(call)
        while True:
            try:
                response = await self._http.request(**self._arguments(call))
            except httpx.TransportError as error:
                wait: float | None = attempts.after_failure(error)
            else:
                wait = attempts.after_response(response)
                if wait is None:
                    return call.result(response)
            await asyncio.sleep(wait or 0)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Call any other operation; see `RecsysClient.request`."""
        return await self._run(calls.any_call(method, path, query or {}, json, headers or {}))

    async def recommend(
        self, user: Id | None = None, *, session_id: str | None = None, **parameters: Any
    ) -> RecommendedList:
        """Return a list for a user, or for a guest's session; see `RecsysClient.recommend`."""
        call = calls.list_call("recommendations", user=user, session_id=session_id, **parameters)
        return await self._run(call)

    async def similar(self, product: Id, **parameters: Any) -> RecommendedList:
        """Return products like this one."""
        return await self._run(calls.list_call("similar", product=product, **parameters))

    async def bought_together(self, product: Id, **parameters: Any) -> RecommendedList:
        """Return products that are bought together with this one."""
        return await self._run(calls.list_call("bought-together", product=product, **parameters))

    async def popular(self, **parameters: Any) -> RecommendedList:
        """Return the products that most people chose recently."""
        return await self._run(calls.list_call("popular", **parameters))

    async def new(self, **parameters: Any) -> RecommendedList:
        """Return the newest products."""
        return await self._run(calls.list_call("new", **parameters))

    async def page(self, body: Mapping[str, Any]) -> dict[str, RecommendedList]:
        """Return the lists of a page by name; see `RecsysClient.page`."""
        return await self._run(calls.page_call(body))

    async def search(self, text: str, **parameters: Any) -> SearchedProducts:
        """Search products; see `RecsysClient.search`."""
        return await self._run(calls.search_call(text, **parameters))

    async def preview_rule(self, rule: Mapping[str, Any], **request: Any) -> Any:
        """Return a list before and after a rule, which is not stored; see `RecsysClient.preview_rule`."""
        return await self._run(calls.preview_call(rule, request))

    async def send_events(self, events: Sequence[ShopEvent]) -> EventReport:
        """Send interactions and return the verdict of each; see `RecsysClient.send_events`."""
        sent = [(size, await self._run(call)) for size, call in calls.event_calls(events)]
        return EventReport.joined([report for _, report in sent], [size for size, _ in sent])

    async def send_feedback(self, feedback: Sequence[ListFeedback]) -> EventReport:
        """Send feedback on recommended products and return the verdict of each piece."""
        sent = [(size, await self._run(call)) for size, call in calls.feedback_calls(feedback)]
        return EventReport.joined([report for _, report in sent], [size for size, _ in sent])
