"""The own ids of a request, looked up together before anything is validated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import orjson
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.types import Scope

from recsys.errors import Invalid, RecsysError
from recsys.own_ids.references import PreparedIds, prepared_ids, resolve
from recsys.own_ids.resolver import RESOLVER
from recsys.own_ids.scheme import IdKind, OwnId, from_object, from_text

__all__ = ["cached_number", "keep_encoded_slashes", "prepare_own_ids", "user_named"]

MAX_OWN_IDS = 5_000
"""Own ids in one request; no field takes so many."""
# JSON may spell each letter as \u00XX
_IN_BODY = re.compile(rb'"(?:sku|username|slug|name)(?:"|:)|\\u00')
_SLASH = "\0"
"""Stands for an encoded slash within a segment of the path: no id can contain it."""
_KEPT = "own_id_slashes"


def keep_encoded_slashes(scope: Scope) -> None:
    """Make `%2F` part of its segment, so that routes match `/products/sku:A%2FB/similar`.

    Servers decode the path, after which a slash of an id and one between segments are the same. A path that
    contains NUL characters stays as it is: no id has them.
    """
    raw: bytes = scope.get("raw_path") or b""
    if b"%2F" not in raw and b"%2f" not in raw:
        return
    segments = [unquote(segment) for segment in raw.partition(b"?")[0].decode("latin-1").split("/")]
    if any(_SLASH in segment for segment in segments):
        return
    scope["path"] = "/".join(segment.replace("/", _SLASH) for segment in segments)
    scope.setdefault("state", {})[_KEPT] = True


# asynchronous, so that it takes no thread
async def prepare_own_ids(request: Request) -> None:
    """A dependency of the application: look up all own ids of the request at once.

    The field that names one decides later whether it exists: authorization comes first.
    """
    scope = request.scope
    if scope["state"].get(_KEPT):
        parameters = scope["path_params"]
        scope["path_params"] = {
            name: value.replace(_SLASH, "/") if isinstance(value, str) else value
            for name, value in parameters.items()
        }
    own_ids = {own_id for text in _texts(request) if (own_id := from_text(text)) is not None}
    if _reads_json(scope):
        body = await request.body()
        if _IN_BODY.search(body) is not None:
            own_ids.update(_in_body(body))
    if len(own_ids) > MAX_OWN_IDS:
        raise Invalid(f"A request names at most {MAX_OWN_IDS:,} things by the shop's own ids.")
    prepared_ids.set(await _prepared(own_ids) if own_ids else PreparedIds())


async def _prepared(own_ids: set[OwnId]) -> PreparedIds:
    found = RESOLVER.cached(own_ids)
    if found is not None:
        return PreparedIds(frozenset(own_ids), found)
    try:
        found = await run_in_threadpool(RESOLVER.look_up, own_ids)
    except RecsysError as error:
        return PreparedIds(frozenset(own_ids), error=error)
    return PreparedIds(frozenset(own_ids), found)


def _texts(request: Request) -> Iterator[str]:
    for value in request.scope["path_params"].values():
        if isinstance(value, str):
            yield value
    if request.scope["query_string"]:
        for _, value in request.query_params.multi_items():
            yield value


def _reads_json(scope: Scope) -> bool:
    """Whether the route has a body with typed fields; batches of events resolve their own."""
    return any(field.field_info.annotation is not Any for field in scope["route"].dependant.body_params)


def _in_body(body: bytes) -> Iterator[OwnId]:
    try:
        waiting = [orjson.loads(body)]
    except orjson.JSONDecodeError:
        return
    while waiting:
        value = waiting.pop()
        own_id = from_text(value) if isinstance(value, str) else from_object(value)
        if own_id is not None:
            yield own_id
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def cached_number(kind: IdKind, text: str) -> int | None:
    """Return the number of what `SCHEME:VALUE` names, None where that takes a look-up."""
    own_id = from_text(text)
    found = None if own_id is None else RESOLVER.cached([own_id])
    return None if own_id is None or found is None else found.get((kind, own_id))


def user_named(given: object) -> int | None:
    """Return the number of the user whom a path parameter or a field names; None where it names nobody.

    Raises
    ------
    Unavailable
        An own id could not be looked up.
    """
    if isinstance(given, int):
        return given
    own_id = from_text(given) if isinstance(given, str) else from_object(given)
    if own_id is not None:
        return resolve(IdKind.USER, own_id) if own_id.scheme == "username" else None
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 12:
        return int(given)
    return None
