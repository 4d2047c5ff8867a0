"""The items of a response as JSON bytes, composed of cached parts.

The part of a product is cached until its name or price changes, that of a reason until the name in it
changes; a score has 10,001 values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from recsys.domains.recommendations.reasons import KIND_WORDS, Kind, ReasonCode, reason
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from serving.catalogue.catalogue import Catalogue, ProductSummary

__all__ = ["CACHE_SIZE", "items_of"]

CACHE_SIZE = 10_000
"""Cached parts of each kind, 8 MB with their summaries; a full one is emptied. Plain dicts are fastest."""
_SCORES = tuple(orjson.dumps(units / SCORE_UNIT) for units in range(SCORE_UNIT + 1))
_heads: dict[int, tuple[ProductSummary, bytes]] = {}
_tails: dict[int, tuple[str | None, bytes]] = {}


def items_of(
    catalogue: Catalogue, entries: Sequence[Entry], parts: Mapping[int, Mapping[str, Any]] | None = None
) -> bytes:
    """Return the documented `items` of a response. parts: the parts of each score, where requested.

    Products that left the shop since the list was made are left out.
    """
    summaries, name_of = catalogue.summaries, catalogue.names_by_id.get
    pieces: list[bytes] = []
    for product, score, kind, code, evidence, _, _ in entries:
        summary = summaries.get(product)
        if summary is None:
            continue
        head = _heads.get(product)
        if head is None or head[0] is not summary:
            head = _new_head(product, summary)
        evidence_name = name_of(evidence) if evidence > 0 else None
        tail = _tails.get(evidence << 8 | code << 4 | kind)
        if tail is None or tail[0] != evidence_name:
            tail = _new_tail(kind, code, evidence, evidence_name)
        pieces += head[1], _SCORES[score], tail[1]
        if parts is not None:
            pieces += b',"explanation":', orjson.dumps(parts.get(product))
        pieces.append(b"},")
    # without the last comma
    return b"[%b]" % b"".join(pieces)[:-1]


def _new_head(product: int, summary: ProductSummary) -> tuple[ProductSummary, bytes]:
    if len(_heads) >= CACHE_SIZE:
        _heads.clear()
    json = orjson.dumps({"product_id": product, "name": summary.name, "price": summary.price})
    head = _heads[product] = summary, json[:-1] + b',"score":'
    return head


def _new_tail(
    kind: Kind, code: ReasonCode, evidence: int, evidence_name: str | None
) -> tuple[str | None, bytes]:
    if len(_tails) >= CACHE_SIZE:
        _tails.clear()
    json = orjson.dumps({"type": KIND_WORDS[kind], "reason": reason(code, evidence, evidence_name)})
    tail = _tails[evidence << 8 | code << 4 | kind] = evidence_name, b"," + json[1:-1]
    return tail
