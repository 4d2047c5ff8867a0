"""Refuses requests that hold a card's number, on every route, before anything reads, stores or logs them.

Looked at are the texts of a body (JSON's values and names at any depth), its whole numbers, the address with
its query, and the user agent; a request id that can be one is not taken over. A card's number is a run of 14
to 19 digits, alone or in groups with single spaces or dashes between, that stands by itself (no letter or
digit touches it, no dash ties it to one: UUIDs and codes pass), begins as a card network's numbers of that
length do, and has a right check digit; moments in micro- or nanoseconds begin as none does. Passed over are
runs of 13 digits (bar codes), and the values of fields that hold somebody else's numbers: `IDENTIFIERS`, and
digits alone in names that end in `_id` and speak of no card.

Routes of payments look closer (`holds_card_number`) at bodies and addresses, where any run of 12 to 19 digits
with a right check digit counts, a JSON number too; and at every header by the rule above.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote_plus

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.errors import Invalid
from recsys.web.errors import problem

__all__ = ["IDENTIFIERS", "REFUSAL", "CardCheck", "holds_card_number", "is_typed_card_number"]

REFUSAL = "The request holds what looks like a card number. Never send one: use the gateway's own token."
IDENTIFIERS = frozenset({"id", "sku", "barcode", "slug", "key", "tracking_number"})
"""Fields whose numbers are made by machines and are often as long as a card's."""

# ISO/IEC 7812: 12 to 19 digits; those that shops meet begin with 2 to 6, Maestro may have 12
_CLOSE = re.compile(r"(?<!\d)[2-6](?:[ \-.]?\d){11,18}(?!\d)")
_TYPED = re.compile(r"(?<![\w.,])(?<!\w-)(?<!\bsku:)[2-6](?:[ -]?[0-9]){13,18}(?![\w])(?!-\w)(?![.,][0-9])")
# the bytes of almost every request show that it holds none; JSON may spell digits as \u0034, line ends as \n
_MAYBE = re.compile(rb"(?:(?<![\w.])(?<!\w-)|(?<=\\[nrtbf]))[2-6](?:[ -]?[0-9]){13}|\\u003")
# the networks' published prefixes, and the lengths of their numbers
_NETWORKS = re.compile(
    r"""(?:
      4(?:\d{15}|\d{18})                                                    # Visa
    | (?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}      # Mastercard
    | 3[47]\d{13}                                                           # American Express
    | 3(?:0[0-59]|[689]\d)(?:\d{11}|\d{13,16})                              # Diners Club
    | (?:6011|64[4-9]\d|65\d\d)\d{12,15}                                    # Discover
    | 35(?:2[89]|[3-8]\d)\d{12,15}                                          # JCB
    | 62\d{14,17}                                                           # UnionPay
    | 220[0-4]\d{12,15}                                                     # Mir
    | (?:5018|5020|5038|5893|6304|6759|676[1-3])\d{10,15}                   # Maestro
    )""",
    re.VERBOSE,
)
_OF_CARDS = re.compile(r"card|payment|credit|debit|(?:^|_)(?:pan|cc)_", re.IGNORECASE)
_IN_THREAD_FROM = 64 * 1024


def holds_card_number(texts: Iterable[str]) -> bool:
    """Whether a run of digits in one of `texts` can be a card number: right length, start and check digit.

    Digits may be apart by a space, dash or dot, and percent-encoded. One of ten other numbers of that form
    has a right check digit too (Luhn, ISO/IEC 7812-1 annex B): such a number is refused as well.
    """
    return any(_found(form) for text in texts for form in {text, unquote_plus(text)})


def is_typed_card_number(text: str) -> bool:
    """Whether somebody typed a card's number into `text`; see the rule at the top of this module."""
    for match in _TYPED.finditer(text):
        digits = re.sub("[ -]", "", match.group())
        if _NETWORKS.fullmatch(digits) and _luhn(digits):
            return True
    return False


class CardCheck:
    """Plain ASGI. The body is read whole, within the limit of the middleware around it, and handed on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse an HTTP request that holds a card number; pass everything else on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _in_head(scope):
            await _refuse(scope, receive, send)
            return
        if scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        body, last = await _read(receive)
        if body and _MAYBE.search(body) is not None:
            large = len(body) >= _IN_THREAD_FROM
            if await run_in_threadpool(_in_body, body) if large else _in_body(body):
                await _refuse(scope, receive, send)
                return
        handed_on = False

        async def again() -> Message:
            nonlocal handed_on
            if handed_on:
                return await receive()
            handed_on = True
            return last if last is not None else {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, send)


async def _read(receive: Receive) -> tuple[bytes, Message | None]:
    """The body; and the message that ended it, when that was the client's leaving."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"", message
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts), None


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    request_id = scope.get("state", {}).get("request_id")
    answer = problem(Invalid.status, REFUSAL, title=Invalid.title, request_id=request_id)
    await answer(scope, receive, send)


def _in_head(scope: Scope) -> bool:
    raw: bytes = scope["query_string"]
    if len(raw) >= 14 and is_typed_card_number(unquote_plus(raw.decode("latin-1"))):
        return True
    path: str = scope["path"]
    if _TYPED.search(path) is not None and is_typed_card_number(path):
        return True
    for name, value in scope["headers"]:
        if name == b"user-agent":
            return _MAYBE.search(value) is not None and is_typed_card_number(value.decode("latin-1"))
    return False


def _in_body(body: bytes) -> bool:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return is_typed_card_number(body.decode("utf-8", "replace"))
    return any(map(is_typed_card_number, _texts(given)))


def _texts(given: Any) -> Iterator[str]:
    """Every text and number of a JSON value, with the names of its fields, but for what identifiers hold."""
    waiting = [given]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, int):
            yield str(one)
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            for name, value in one.items():
                yield name
                if not isinstance(value, str | int) or not _is_identifier(name, value):
                    waiting.append(value)


def _is_identifier(name: str, value: str | int) -> bool:
    if name in IDENTIFIERS:
        return True
    # what a person types has gaps or stands among words
    plain = isinstance(value, int) or value.isdecimal()
    return plain and name.endswith("_id") and _OF_CARDS.search(name) is None


def _found(text: str) -> bool:
    return any(_luhn(re.sub(r"\D", "", match.group())) for match in _CLOSE.finditer(text))


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0
