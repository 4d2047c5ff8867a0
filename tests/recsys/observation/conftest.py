"""The shops and the client of the tests of serving: what is observed is the whole service."""

from __future__ import annotations

from tests.serving.conftest import client, no_hurry, open_shop, scored_shop, shop_snapshots, trained_shop

__all__ = ["client", "no_hurry", "open_shop", "scored_shop", "shop_snapshots", "trained_shop"]
