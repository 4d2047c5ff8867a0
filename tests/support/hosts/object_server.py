"""A server that speaks S3 (moto) in a process of its own, which tests start, stop and end."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from s3fs import S3FileSystem

from recsys.artifacts import object_storage
from recsys.settings import get_settings
from tests.support.shop import Shop

__all__ = ["ObjectServer", "object_server", "s3", "s3_bucket", "s3_server", "s3_shop", "use_server"]

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test-key",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    # no test asks a cloud's machine for credentials
    "AWS_EC2_METADATA_DISABLED": "true",
}
_SERVER = """
import sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
threading.Event().wait()
"""


@dataclass
class ObjectServer:
    """A running server. `environment` leads the client to it."""

    port: int
    process: subprocess.Popen[str]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> Any:
        """Another client than the tested code has."""
        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="test-key",
            aws_secret_access_key="test-secret",
            config=Config(retries={"max_attempts": 1}),
        )

    def make_bucket(self, name: str) -> str:
        """The address of a new bucket."""
        self.client.create_bucket(Bucket=name)
        return f"s3://{name}"

    def keys(self, bucket: str) -> list[str]:
        """The keys of all objects of a bucket, sorted."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(each["Key"] for page in pages for each in page.get("Contents", ()))

    def pause(self) -> None:
        """Let the server accept connections and answer none."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """End it; what it holds is lost."""
        self.go_on()
        self.process.kill()
        self.process.wait()


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Start a server on a free port of the loopback."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVER, "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        yield ObjectServer(port, process, environment)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        process.stdout.close()


def use_server(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead the client to a server; fsspec keeps clients, which would go on to the server before."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    object_storage._away.clear()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ObjectServer]:
    """A server for this pytest process."""
    with object_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    """The server, to which the client of this test leads."""
    use_server(s3_server, monkeypatch)
    return s3_server


@pytest.fixture
def s3_bucket(s3: ObjectServer) -> str:
    """The address of an empty bucket."""
    return s3.make_bucket(f"shop-{secrets.token_hex(4)}")


@pytest.fixture
def s3_shop(shop: Shop, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """An empty shop whose hosts share a store of artifacts."""
    monkeypatch.setenv("RECSYS_ARTIFACTS__ADDRESS", s3_bucket)
    # the first call of a process loads the client, which takes a busy machine longer than the default
    monkeypatch.setenv("RECSYS_ARTIFACTS__TIMEOUT_SECONDS", "20")
    get_settings.cache_clear()
    return shop
