"""The items of a response as JSON bytes, composed of cached parts.

The part of a product is cached until its name or price changes, that of a reason until the name in it
changes; a score has 10,001 values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from recsys.domains.products.item_fields import DEFAULT, product_url
from recsys.domains.recommendations.reasons import KIND_WORDS, Kind, ReasonCode, reason
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from recsys.settings import get_settings
from serving.catalogue.catalogue import Catalogue, ProductSummary

__all__ = ["CACHE_SIZE", "items_of"]

CACHE_SIZE = 10_000
"""Cached parts of each kind, 8 MB with their summaries; a full one is emptied. Plain dicts are fastest."""
_SCORES = tuple(orjson.dumps(units / SCORE_UNIT) for units in range(SCORE_UNIT + 1))
_Label = tuple[str, str | None] | None
_heads: dict[int, tuple[ProductSummary, bytes]] = {}
_tails: dict[int, tuple[_Label, bytes]] = {}


def items_of(
    catalogue: Catalogue,
    entries: Sequence[Entry],
    parts: Mapping[int, Mapping[str, Any]] | None = None,
    fields: Sequence[str] | None = None,
) -> bytes:
    """Return the documented `items` of a response.

    Products that left the shop since the list was made are left out.

    Parameters
    ----------
    parts
        The parts of each score, where requested.
    fields
        The fields of each product, where requested.
    """
    summaries, labels = catalogue.summaries, catalogue.labels_by_id
    pieces: list[bytes] = []
    for product, score, kind, code, evidence, _, _ in entries:
        summary = summaries[product]
        if summary is None:
            continue
        if fields is None:
            head = _heads.get(product)
            if head is None or head[0] is not summary:
                head = _new_head(product, summary)
        else:
            head = summary, _head(product, summary, fields)
        label = labels[evidence] if evidence > 0 else None
        tail = _tails.get(evidence << 8 | code << 4 | kind)
        if tail is None or tail[0] != label:
            tail = _new_tail(kind, code, evidence, label)
        pieces += head[1], _SCORES[score], tail[1]
        if parts is not None:
            pieces += b',"explanation":', orjson.dumps(parts.get(product))
        pieces.append(b"},")
    # without the last comma
    return b"[%b]" % b"".join(pieces)[:-1]


def _new_head(product: int, summary: ProductSummary) -> tuple[ProductSummary, bytes]:
    if len(_heads) >= CACHE_SIZE:
        _heads.clear()
    head = _heads[product] = summary, _head(product, summary, DEFAULT)
    return head


def _head(product: int, summary: ProductSummary, fields: Sequence[str]) -> bytes:
    """Return an item up to its score, with the ids first."""
    details = summary.details
    values: dict[str, Any] = {
        **details._asdict(),
        "name": summary.name,
        "price": summary.price,
        # a product on sale without stock is sold on order
        "stock": "in_stock" if summary.stocked else "on_order",
    }
    if "currency" in fields:
        values["currency"] = get_settings().shop.currency
    if "url" in fields:
        values["url"] = product_url(product, details.sku, details.slug, details.url)
    chosen = {name: values[name] for name in dict.fromkeys(("sku", *fields))}
    return orjson.dumps({"product_id": product, **chosen})[:-1] + b',"score":'


def _new_tail(kind: Kind, code: ReasonCode, evidence: int, label: _Label) -> tuple[_Label, bytes]:
    if len(_tails) >= CACHE_SIZE:
        _tails.clear()
    name, sku = (None, None) if label is None else label
    because = reason(code, evidence, name)
    skus = [sku] * len(because["product_ids"])
    json = orjson.dumps({"type": KIND_WORDS[kind], "reason": {**because, "skus": skus}})
    tail = _tails[evidence << 8 | code << 4 | kind] = label, b"," + json[1:-1]
    return tail
