"""Pagination: a cursor holds the rest of its list, so that pages never shift.

Nothing is stored for it: a cursor outlives restarts, new models, new generations and a lost Redis. Products
sold out, hidden or bought since the first page are left out of the next; none is repeated. A/B tests are
evaluated by the model that a cursor names: it is signed, and belongs to one request of one user or guest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry, pack_entries, unpack_entries
from recsys.errors import Invalid
from recsys.web.access.signing import SIZE, blake2, hmac_sha256, is_signed, sign
from serving.ranking.strategies import Source
from serving.recommender.request import MAX_POOL, RecommendationRequest

__all__ = ["Rest", "decode", "encode"]

FORMAT = 3
_MACS = {2: hmac_sha256, FORMAT: blake2}
"""How a cursor of each format is signed; pages that were asked for before an update go on after it."""
MAX_LENGTH = 8_000
"""Characters; the longest cursor of `MAX_POOL` entries has fewer."""
_SOURCES: tuple[Source, ...] = ("stored", "live", "popular")
# format, fingerprint, source, generation (0: none), made at, products shown, lengths of name and version
_HEADER = struct.Struct("<B16sBIIHBB")
_PURPOSE = b"list"
_MAX_ID = 2**31 - 1


@dataclass(frozen=True)
class Rest:
    """The rest of a list, and where the list came from.

    Attributes
    ----------
    shown
        Number of products on earlier pages.
    """

    entries: Sequence[Entry]
    source: Source
    model: str | None
    version: str | None
    generation: int | None
    made_at: int
    shown: int


def encode(rest: Rest, request: RecommendationRequest) -> str:
    """Return the cursor for the next page of `request`."""
    model, version = (rest.model or "").encode(), (rest.version or "").encode()
    head = _HEADER.pack(
        FORMAT,
        _fingerprint(request),
        _SOURCES.index(rest.source),
        rest.generation or 0,
        rest.made_at,
        rest.shown,
        len(model),
        len(version),
    )
    packed = b"".join([head, model, version, pack_entries(rest.entries)])
    return base64.urlsafe_b64encode(sign(_PURPOSE, packed, blake2) + packed).rstrip(b"=").decode()


def decode(cursor: str, request: RecommendationRequest) -> Rest:
    """Return the rest of the list that `encode` put into the cursor.

    Raises
    ------
    Invalid
        The cursor has no valid signature, or is of another request, user or guest.
    """
    try:
        if len(cursor) > MAX_LENGTH:
            raise ValueError("longer than any cursor")
        signed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        data = signed[SIZE:]
        mac = _MACS.get(data[0])
        if mac is None or not is_signed(_PURPOSE, data, signed[:SIZE], mac):
            raise ValueError("not signed here")
        head = _HEADER.unpack_from(data)
        model_ends = _HEADER.size + head[6]
        version_ends = model_ends + head[7]
        entries = unpack_entries(data[version_ends:])
        if len(entries) > MAX_POOL or version_ends > len(data):
            raise ValueError("malformed")
        if head[3] > _MAX_ID or any(not _is_in_range(entry) for entry in entries):
            raise ValueError("out of range")
        source = _SOURCES[head[2]]
        model, version = data[_HEADER.size : model_ends].decode(), data[model_ends:version_ends].decode()
    except (ValueError, IndexError, struct.error, binascii.Error, Invalid) as error:
        raise Invalid(
            "cursor: not from this service; use `next_cursor` of the previous page, or leave it out "
            "for the first page",
            field="cursor",
        ) from error
    if head[1] != _fingerprint(request):
        raise Invalid(
            "cursor: it belongs to another request; keep everything but `limit` as on the first page",
            field="cursor",
        )
    return Rest(entries, source, model or None, version or None, head[3] or None, head[4], head[5])


def _fingerprint(request: RecommendationRequest) -> bytes:
    """Return 16 bytes that are equal for requests that may continue each other's pages."""
    filters = request.filters
    parts = (
        request.placement, request.user, request.session, request.products, request.cart, request.country,
        request.novelty, request.diversity, filters.categories, filters.brands, filters.min_price,
        filters.max_price, filters.tags, filters.in_stock, filters.created_since, filters.exclude,
        filters.attributes,
    )  # fmt: skip
    return hashlib.blake2b(orjson.dumps(parts), digest_size=16).digest()


def _is_in_range(entry: Entry) -> bool:
    return 0 < entry.product <= _MAX_ID and entry.evidence <= _MAX_ID and entry.score <= SCORE_UNIT
