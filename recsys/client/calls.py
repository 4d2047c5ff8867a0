"""The calls of the API: what each sends, and what becomes of its response."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from recsys.client.errors import ClientError, ProblemAnswer
from recsys.client.events import ListFeedback, ShopEvent
from recsys.client.results import EventReport, RecommendedList, SearchedProducts

__all__ = [
    "ClientCall",
    "any_call",
    "event_calls",
    "feedback_calls",
    "list_call",
    "page_call",
    "preview_call",
    "reference",
    "search_call",
]

Result = TypeVar("Result")
MOST_EVENTS, MOST_FEEDBACK = 1000, 500
_API = "/api/v1"


@dataclass(frozen=True)
class ClientCall(Generic[Result]):
    """One request, and the reading of its response.

    Attributes
    ----------
    repeatable
        Whether the request may be sent again after a response that got lost.
    """

    method: str
    path: str
    read: Callable[[Any], Result]
    query: Sequence[tuple[str, str]] = ()
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True

    def result(self, response: httpx.Response) -> Result:
        """Return the result of a response; raises ProblemAnswer and ClientError."""
        if not response.is_success:
            members = _json_of(response)
            # all events refused: a report like any other
            if isinstance(members, dict) and "verdicts" in members:
                return self.read(members)
            raise ProblemAnswer(
                response.status_code, members if isinstance(members, dict) else _plain(response)
            )
        body = _json_of(response) if response.content else None
        try:
            return self.read(body)
        except (KeyError, TypeError) as error:
            raise ClientError(
                f"{response.url.path} did not answer as expected; is this the address of recsys?"
            ) from error


def _json_of(response: httpx.Response) -> Any:
    kind = response.headers.get("content-type", "").partition(";")[0]
    if not kind.endswith("json"):
        if not response.is_success:
            return None
        raise ClientError(
            f"An answer of type {kind or 'none'} instead of JSON; is this the address of recsys?"
        )
    try:
        return response.json()
    except ValueError as error:
        raise ClientError("The answer is not valid JSON.") from error


def _plain(response: httpx.Response) -> dict[str, str]:
    if response.is_redirect:
        return {"title": "Redirect", "detail": "This address redirects; use its target."}
    return {"title": response.reason_phrase, "detail": "No problem details came with this status."}


def reference(own: str, named: int | str) -> str:
    """Return a number or `SCHEME:VALUE`.

    Parameters
    ----------
    own
        The scheme of the shop's own ids, `sku` or `username`.
    named
        The number, or the shop's own id.

    Raises
    ------
    ValueError
        The own id is empty.
    TypeError
        `named` is neither a number nor a text.
    """
    if isinstance(named, bool) or not isinstance(named, int | str):
        raise TypeError(f"a number or the shop's own id ({own}) is expected, not {type(named).__name__}")
    if named == "":
        raise ValueError(f"the shop's own id ({own}) is empty")
    return str(named) if isinstance(named, int) else f"{own}:{named}"


def _query(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return query parameters: lists are repeated, None is left out."""
    pairs = []
    for name, value in parameters.items():
        several = value if isinstance(value, list | tuple | set | frozenset) else [value]
        pairs += [(name, _text(each)) for each in several if each is not None]
    return pairs


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def list_call(
    kind: str,
    *,
    product: int | str | None = None,
    user: int | str | None = None,
    session_id: str | None = None,
    **parameters: Any,
) -> ClientCall[RecommendedList]:
    """Return the call for one list.

    Parameters
    ----------
    kind
        The last part of the address: recommendations, similar, bought-together, popular, new.
    product, user
        What the list starts from, whom it is for.
    session_id
        The guest's visit.
    **parameters
        Parameters of the query.
    """
    if product is not None:
        path = f"{_API}/products/{quote(reference('sku', product), safe=':')}/{kind}"
    elif user is not None:
        path = f"{_API}/users/{quote(reference('username', user), safe=':')}/{kind}"
    else:
        path = f"{_API}/{kind}" if kind == "recommendations" else f"{_API}/products/{kind}"
    headers = {} if session_id is None else {"X-Session-Id": session_id}
    return ClientCall("GET", path, RecommendedList.of, _query(parameters), headers=headers)


def page_call(body: Mapping[str, Any]) -> ClientCall[dict[str, RecommendedList]]:
    """Return the call for the lists of a page, by name."""

    def read(answer: Any) -> dict[str, RecommendedList]:
        request_id = answer["request_id"]
        return {each["name"]: RecommendedList.of(each, request_id) for each in answer["shelves"]}

    return ClientCall("POST", f"{_API}/recommendations", read, body=body)


def search_call(text: str, **parameters: Any) -> ClientCall[SearchedProducts]:
    """Return the call for a search."""
    query = _query({"q": text, **parameters})
    return ClientCall("GET", f"{_API}/search/products", SearchedProducts.of, query)


def preview_call(rule: Mapping[str, Any], request: Mapping[str, Any]) -> ClientCall[dict[str, Any]]:
    """Return the call that previews a rule.

    Parameters
    ----------
    request
        Further members of the call's body.
    """
    path = f"{_API}/recommendations/rules/preview"
    return ClientCall("POST", path, dict, body={"rule": rule, **request})


def any_call(
    method: str, path: str, query: Mapping[str, Any], body: Any, headers: Mapping[str, str]
) -> ClientCall[Any]:
    """Return the call of an operation that has no method of its own."""
    method = method.upper()
    keyed = any(name.lower() == "idempotency-key" for name in headers)
    repeatable = keyed or method in ("GET", "HEAD", "PUT", "DELETE")
    return ClientCall(method, path, lambda answer: answer, _query(query), body, headers, repeatable)


def event_calls(events: Sequence[ShopEvent]) -> Iterator[tuple[int, ClientCall[EventReport]]]:
    """Yield the calls that send events, at most 1,000 in each, with the number of events."""
    return _batches(f"{_API}/interactions", [event.body() for event in events], MOST_EVENTS)


def feedback_calls(feedback: Sequence[ListFeedback]) -> Iterator[tuple[int, ClientCall[EventReport]]]:
    """Yield the calls that send feedback, at most 500 in each, with the number of pieces."""
    bodies = [piece.body() for piece in feedback]
    return _batches(f"{_API}/recommendations/feedback", bodies, MOST_FEEDBACK)


def _batches(
    path: str, bodies: Sequence[Mapping[str, Any]], most: int
) -> Iterator[tuple[int, ClientCall[EventReport]]]:
    # what is no JSON is an error of the first request, not of the last
    json.dumps(bodies, allow_nan=False)
    for start in range(0, len(bodies), most):
        batch = bodies[start : start + most]
        yield len(batch), ClientCall("POST", path, EventReport.of, body=batch)
