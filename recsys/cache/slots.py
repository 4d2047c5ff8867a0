"""Names of keys that lie in one slot of a Redis Cluster, because they change or are read together."""

from __future__ import annotations

from recsys.settings import get_settings

__all__ = ["beside"]


def beside(key: str) -> str:
    """How a key of our own names the key that it belongs to; empty without a cluster."""
    if not get_settings().redis.is_cluster:
        return ""
    # a key with a tag is hashed by it, wherever the tag stands
    _, brace, after = key.partition("{")
    return key if brace and after.find("}") > 0 else f"{{{key}}}"
