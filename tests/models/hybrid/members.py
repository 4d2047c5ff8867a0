"""The members of a small hybrid, each quick to fit."""

from __future__ import annotations

__all__ = ["SMALL"]

SMALL = {
    "buy_again": {"algorithm": "buy_again"},
    "tifu_knn": {"algorithm": "tifu_knn", "parameters": {"neighbours": 40}},
    "ease": {"algorithm": "ease", "parameters": {"ridge": 50.0}},
    "co_visitation": {"algorithm": "co_visitation", "parameters": {"repeats": True}},
    "popularity": {"algorithm": "popularity"},
}
