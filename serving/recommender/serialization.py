"""What an answer says of each product as bytes of JSON: most of it was said before and is kept.

A product's own part is kept until its name or price changes, a reason's until the name in it does; a score
has 10,001 forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from recsys.domains.recommendations.reasons import KIND_WORDS, Kind, ReasonCode, reason
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from serving.catalogue.catalogue import Catalogue, ProductSummary

__all__ = ["KEPT", "items_of"]

KEPT = 10_000
"""Parts of each kind, 8 MB together with their summaries; beyond it all are dropped and made again."""
_SCORES = tuple(orjson.dumps(units / SCORE_UNIT) for units in range(SCORE_UNIT + 1))
_heads: dict[int, tuple[ProductSummary, bytes]] = {}
_tails: dict[int, tuple[str | None, bytes]] = {}


def items_of(
    catalogue: Catalogue, entries: Sequence[Entry], parts: Mapping[int, Mapping[str, Any]] | None = None
) -> bytes:
    """The documented `items` of an answer; `parts`: what each score is made of, where that was asked for.

    What is gone from the shop since the list was made is left out.
    """
    summaries, name_of = catalogue.summaries, catalogue.names_by_id.get
    found: list[bytes] = []
    for product, score, kind, code, evidence, _, _ in entries:
        summary = summaries.get(product)
        if summary is None:
            continue
        head = _heads.get(product)
        if head is None or head[0] is not summary:
            head = _new_head(product, summary)
        named = name_of(evidence) if evidence > 0 else None
        tail = _tails.get(evidence << 8 | code << 4 | kind)
        if tail is None or tail[0] != named:
            tail = _new_tail(kind, code, evidence, named)
        found += head[1], _SCORES[score], tail[1]
        if parts is not None:
            found += b',"explanation":', orjson.dumps(parts.get(product))
        found.append(b"},")
    # the last comma gives way to the bracket
    return b"[%b]" % b"".join(found)[:-1]


def _new_head(product: int, summary: ProductSummary) -> tuple[ProductSummary, bytes]:
    if len(_heads) >= KEPT:
        _heads.clear()
    said = orjson.dumps({"product_id": product, "name": summary.name, "price": summary.price})
    found = _heads[product] = summary, said[:-1] + b',"score":'
    return found


def _new_tail(kind: Kind, code: ReasonCode, evidence: int, named: str | None) -> tuple[str | None, bytes]:
    if len(_tails) >= KEPT:
        _tails.clear()
    said = orjson.dumps({"type": KIND_WORDS[kind], "reason": reason(code, evidence, named)})
    found = _tails[evidence << 8 | code << 4 | kind] = named, b"," + said[1:-1]
    return found
