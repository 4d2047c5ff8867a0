"""A scored shop, as serving's tests have it."""

from tests.serving.conftest import no_hurry, open_shop, scored_shop, shop_snapshots, trained_shop

__all__ = ["no_hurry", "open_shop", "scored_shop", "shop_snapshots", "trained_shop"]
