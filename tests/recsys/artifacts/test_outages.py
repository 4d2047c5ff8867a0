"""A publication that is ended in the middle, and a store that is away, slow, closed or lacks its package."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from recsys.artifacts import object_storage
from recsys.artifacts.object_storage import ObjectStorage
from recsys.errors import NotFound, Unavailable
from tests.recsys.artifacts.conftest import Host
from tests.recsys.artifacts.names import NAME
from tests.support.hosts.object_server import ObjectServer, object_server, use_server
from tests.support.servers import ROOT

SECRETS = ("test-key", "test-secret")


def artifact(var: Path, content: bytes) -> None:
    folder = var / NAME
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(20):
        (folder / f"array-{number}.npy").write_bytes(content)


def killed(var: Path, address: str) -> None:
    """A process that publishes, killed after its first file."""
    environment = {
        **os.environ,
        "RECSYS_VAR": str(var),
        "RECSYS_ARTIFACTS__ADDRESS": address,
        "PYTHONPATH": str(ROOT),
    }
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("publisher.py")), NAME],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_a_publication_that_was_killed_is_not_visible(address: str, host: Host, tmp_path: Path) -> None:
    artifact(tmp_path / "one", b"first")
    killed(tmp_path / "one", address)
    one, two = host("one", address), host("two", address)
    assert one.names() == []
    assert one._remote.sizes("files")  # it had begun
    with pytest.raises(NotFound):
        two.fetch(NAME)
    one.publish(NAME)  # the lock of the killed process is free
    assert {each.read_bytes() for each in two.fetch(NAME).iterdir()} == {b"first"}


def test_a_publication_that_was_killed_leaves_the_former_one(
    address: str, host: Host, tmp_path: Path
) -> None:
    artifact(tmp_path / "one", b"first")
    one, two = host("one", address), host("two", address)
    one.publish(NAME)
    artifact(tmp_path / "one", b"second")
    killed(tmp_path / "one", address)
    assert {each.read_bytes() for each in two.fetch(NAME).iterdir()} == {b"first"}
    assert two.verify(NAME)


def test_a_store_that_is_down_leaves_the_copies(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with object_server() as server:
        use_server(server, monkeypatch)
        address = server.make_bucket("shop")
        artifact(tmp_path / "one", b"first")
        one, two = host("one", address), host("two", address)
        one.publish(NAME)
        copy = two.fetch(NAME)
        server.end()
        for attempt in (two.check, lambda: two.fetch("models/als-v2"), lambda: one.publish(NAME), two.sweep):
            object_storage._away.clear()
            with pytest.raises(Unavailable, match=f"the artifact store {address} does not answer") as raised:
                attempt()
            assert not any(secret in str(raised.value) for secret in SECRETS)
        assert two.fetch(NAME) == copy
        assert {each.read_bytes() for each in copy.iterdir()} == {b"first"}


def test_a_store_that_hangs_is_given_up(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The waiting is bounded: without a bound this test would not end."""
    with object_server() as server:
        use_server(server, monkeypatch)
        address = server.make_bucket("shop")
        artifact(tmp_path / "one", b"first")
        host("one", address).publish(NAME)
        one = host("one", address, seconds=1)
        server.pause()
        object_storage._away.clear()
        with pytest.raises(Unavailable, match="does not answer"):
            one.manifest(NAME)
        # the next call does not wait again
        monkeypatch.setattr(one._remote._files, "_cat_file", None)
        with pytest.raises(Unavailable, match="does not answer"):
            one.manifest(NAME)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError("test-secret"), "refuses access .*correct the credentials"),
        (NoCredentialsError(), "refuses access"),
        (EndpointConnectionError(endpoint_url="http://key:test-secret@host"), "does not answer"),
        (OSError(5, "test-secret"), "does not answer"),
    ],
)
def test_no_message_repeats_what_a_client_says(
    s3_bucket: str, host: Host, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: str
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise error

    one = host("one", s3_bucket)
    monkeypatch.setattr(one._remote._files, "_cat_file", refuse)
    with pytest.raises(Unavailable, match=expected) as raised:
        one.fetch(NAME)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert "test-secret" not in str(raised.value)


def test_clients_log_nothing_of_credentials(
    s3_bucket: str, host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        artifact(tmp_path / "one", b"first")
        host("one", s3_bucket).publish(NAME)
    text = caplog.text
    assert not any(secret in text for secret in (*SECRETS, "credentials", "AWS4-HMAC-SHA256"))


def test_a_bucket_that_is_not_there_is_named(s3: ObjectServer, host: Host, tmp_path: Path) -> None:
    artifact(tmp_path / "one", b"first")
    one = host("one", "s3://no-such-bucket")
    for attempt in (one.check, lambda: one.publish(NAME)):
        with pytest.raises(Unavailable, match="s3://no-such-bucket has no such bucket; make it, or correct"):
            attempt()


@pytest.mark.parametrize(("scheme", "package", "extra"), [("s3", "s3fs", "s3"), ("gs", "gcsfs", "gs")])
def test_a_missing_package_is_named_in_one_line(
    host: Host, monkeypatch: pytest.MonkeyPatch, scheme: str, package: str, extra: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(object_storage, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(Unavailable) as raised:
        host("one", f"{scheme}://shop").fetch(NAME)
    assert str(raised.value) == (
        f"the artifact store {scheme}://shop needs {package}; install it with pip install 'recsys[{extra}]'"
    )


def test_the_age_of_objects_is_known(address: str) -> None:
    storage = ObjectStorage(address, 5.0)
    storage.write("a/b.json", b"{}")
    assert all(-5 < seconds < 60 for seconds in storage.ages("a").values())
    assert urlsplit(address).scheme in ("s3", "file")
    storage.remove_below("a")
    storage.remove_below("a")
    assert storage.ages("a") == {}
