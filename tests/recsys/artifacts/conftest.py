"""Hosts of which each has a var of its own, and an empty store of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.artifacts.store import ArtifactStore
from recsys.settings import Settings
from recsys.settings.artifacts import ArtifactSettings

Host = Callable[..., ArtifactStore]


@pytest.fixture(params=["s3", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of each kind."""
    if request.param == "s3":
        return f"{request.getfixturevalue('s3_bucket')}/some/prefix"
    (tmp_path / "shared").mkdir()
    return f"file://{tmp_path}/shared"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Make the store of a host, by the host's name."""

    def made(name: str, address: str | None, cache_gib: float = 20.0, seconds: float = 5.0) -> ArtifactStore:
        chosen = ArtifactSettings(address=address, cache_gib=cache_gib, timeout_seconds=seconds)
        return ArtifactStore(Settings(var=tmp_path / name, artifacts=chosen))

    return made
