"""A real OpenSearch node for the tests, built from Maven artifacts where Java 17 and Maven are installed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

__all__ = ["running"]

_SOURCES = Path(__file__).parent
_JAVA = 17
_BUILD_SECONDS = 300
_START_SECONDS = 120


@contextmanager
def running(folder: Path, build_folder: Path) -> Iterator[str]:
    """The address of a new node, which keeps its data in `folder` and ends with the block.

    Skips the test where Java 17 or Maven is missing, or Maven can't download the artifacts.
    """
    classes = _built(build_folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config").mkdir()
    # small and quick to start: it has some thousand documents at most
    java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classes]
    with (folder / "node.log").open("wb") as log:
        process = subprocess.Popen(
            [*java, "OpenSearchNode", str(folder), str(port)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, process, folder / "node.log")
        # a test loses nothing that it needs when the machine loses power
        unsynced = {"index_patterns": ["*"], "template": {"settings": {"index.translog.durability": "async"}}}
        httpx.put(f"{url}/_index_template/tests", json=unsynced, timeout=_START_SECONDS).raise_for_status()
        yield url
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _built(folder: Path) -> str:
    """The class path of the node; what was built from the same sources is kept."""
    _require_tools()
    sources = b"".join((_SOURCES / name).read_bytes() for name in ("pom.xml", "OpenSearchNode.java"))
    built = folder / hashlib.blake2b(sources, digest_size=6).hexdigest()
    if not built.is_dir():
        unfinished = folder / f"{built.name}.{os.getpid()}"
        libraries = unfinished / "lib"
        maven = ["mvn", "-B", "-q", "-f", str(_SOURCES / "pom.xml"), "dependency:copy-dependencies"]
        done = subprocess.run(
            [*maven, f"-DoutputDirectory={libraries}"],
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"Maven could not bring OpenSearch: {done.stdout.strip()[:300]}")
        subprocess.run(
            ["javac", "-cp", f"{libraries}/*", "-d", str(unfinished), str(_SOURCES / "OpenSearchNode.java")],
            check=True,
            capture_output=True,
            timeout=_BUILD_SECONDS,
        )
        try:
            unfinished.rename(built)
        except OSError:
            # another process of the tests was quicker
            shutil.rmtree(unfinished)
    return f"{built}{os.pathsep}{built / 'lib'}/*"


def _require_tools() -> None:
    missing = [tool for tool in ("java", "javac", "mvn") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"OpenSearch needs Java {_JAVA} and Maven; missing here: {', '.join(missing)}")
    printed = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    version = re.search(r'version "(\d+)', printed)
    if version is None or int(version[1]) < _JAVA:
        pytest.skip(f"OpenSearch needs Java {_JAVA}; here is {printed.splitlines()[0]}")


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"OpenSearch ended as it started: {log.read_text()[-2000:]}"
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"OpenSearch did not start in {_START_SECONDS} s: {log.read_text()[-2000:]}")
