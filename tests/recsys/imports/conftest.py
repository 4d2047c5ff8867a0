"""A desk to import at, in a shop of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recsys.imports.desk import Desk
from tests.support.shop import Shop


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(shop, folder)
