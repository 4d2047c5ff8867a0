"""A server that speaks S3, and hosts of which each has a var of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from recsys.artifacts import object_storage
from recsys.artifacts.store import ArtifactStore
from recsys.settings import Settings
from recsys.settings.artifacts import ArtifactSettings
from tests.support.object_server import ObjectServer, object_server

Host = Callable[..., ArtifactStore]


def use_server(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead the client to a server; fsspec keeps clients, which would go on to the server before."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    object_storage._away.clear()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ObjectServer]:
    with object_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    use_server(s3_server, monkeypatch)
    return s3_server


@pytest.fixture
def bucket(s3: ObjectServer) -> str:
    return s3.make_bucket(f"shop-{secrets.token_hex(4)}")


@pytest.fixture(params=["s3", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of each kind."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/some/prefix"
    (tmp_path / "shared").mkdir()
    return f"file://{tmp_path}/shared"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Make the store of a host, by the host's name."""

    def made(name: str, address: str | None, cache_gib: float = 20.0, seconds: float = 5.0) -> ArtifactStore:
        chosen = ArtifactSettings(address=address, cache_gib=cache_gib, timeout_seconds=seconds)
        return ArtifactStore(Settings(var=tmp_path / name, artifacts=chosen))

    return made
