"""Helpers of drawn lists: the seed of a request, and lists with fixed places."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import orjson

from recsys.domains.recommendations.stored_lists.codec import Entry
from serving.recommender.request import RecommendationRequest

__all__ = ["digest", "placed"]


def digest(purpose: str, request: RecommendationRequest, request_id: str) -> bytes:
    """Return 16 bytes that are independent for different lists and purposes; equal for the same one."""
    identity = (
        purpose, request_id, request.placement, request.name, request.user, request.session,
        request.products,
    )  # fmt: skip
    return hashlib.blake2b(orjson.dumps(identity), digest_size=16).digest()


def placed(others: Iterable[Entry], fixed: Mapping[int, Entry]) -> Sequence[Entry]:
    """Return a list with the fixed entries at their places, from 0, and the others in order around them.

    Fixed places behind the end of the list move up.
    """
    listed: list[Entry] = []
    remaining = dict(sorted(fixed.items()))
    for entry in others:
        while len(listed) in remaining:
            listed.append(remaining.pop(len(listed)))
        listed.append(entry)
    return [*listed, *remaining.values()]
