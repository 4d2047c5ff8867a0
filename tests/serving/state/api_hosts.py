"""Hosts of a shop: API processes with a var of their own, and requests to them that go on all the time."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support import warm

__all__ = ["Answer", "ApiHost", "Requests", "api_hosts", "health"]


PAUSE = 0.01
"""Seconds from an answer to the next request: each change is seen, and the hosts keep a processor."""


@dataclass(frozen=True)
class ApiHost:
    """One API process. `var` is its own."""

    name: str
    url: str
    var: Path
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Answer:
    """One answer: who asked what, when it came, and what it says."""

    host: str
    path: str
    at: float
    status: int
    source: str
    model: str | None
    generation: int | None
    products: tuple[int, ...]

    @property
    def key(self) -> tuple[str, str, str | None, int | None]:
        """Two answers with the same key must have the same products."""
        return self.path, self.source, self.model, self.generation


@contextmanager
def api_hosts(names: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[list[ApiHost]]:
    """Start an API with an empty var for each name, and wait until all answer."""
    with ExitStack() as stack:
        started = [
            (name, stack.enter_context(_process(folder / name, {**os.environ, **environment})))
            for name in names
        ]
        hosts = [
            ApiHost(name, _address(process, folder / name), folder / name, process)
            for name, process in started
        ]
        for host in hosts:
            while health(host) is None:
                assert host.process.poll() is None, _errors(host.var).read_text()
                time.sleep(0.1)
        yield hosts


@contextmanager
def _process(var: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    var.mkdir()
    own = {"RECSYS_VAR": str(var), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    with (
        _errors(var).open("wb") as stream,
        warm.start(
            *("-m", "recsys", "serve", "api"),
            stdout=subprocess.PIPE,
            stderr=stream,
            env={**environment, **own},
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            process.wait(120)


def _errors(var: Path) -> Path:
    return var.with_suffix(".errors")


def _address(process: subprocess.Popen[bytes], var: Path) -> str:
    assert process.stdout is not None
    address = re.search(r"http://\S+", process.stdout.readline().decode())
    assert address is not None, _errors(var).read_text()
    return address[0]


def health(host: ApiHost) -> dict[str, Any] | None:
    """The parts of a host's readiness; None while it does not answer."""
    try:
        found: dict[str, Any] = httpx.get(f"{host.url}/health/ready", timeout=30).json()["parts"]
    except (httpx.TransportError, KeyError):
        return None
    return found


@dataclass
class Requests:
    """Threads that ask every host every question, again and again, and keep all answers."""

    hosts: Sequence[ApiHost]
    paths: Sequence[str]
    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[Requests]:
        """Ask until the end of the block."""
        threads = [threading.Thread(target=self._ask, args=(host,)) for host in self.hosts]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._end.set()
            for thread in threads:
                thread.join()

    def seen(self, host: ApiHost, since: float, *, source: str, model: str) -> float | None:
        """When, after `since`, the host first answered from this source by this model; None: not yet."""
        moments = [
            each.at
            for each in list(self.answers)
            if each.host == host.name and each.at > since and (each.source, each.model) == (source, model)
        ]
        return min(moments, default=None)

    def _ask(self, host: ApiHost) -> None:
        with httpx.Client(base_url=host.url, timeout=60) as client:
            while not self._end.is_set():
                for path in self.paths:
                    try:
                        found = client.get(path)
                    except httpx.TransportError as error:
                        self.failures.append(f"{host.name} {path}: {error!r}")
                        continue
                    at = time.monotonic()
                    if found.status_code != 200:
                        self.failures.append(f"{host.name} {path}: {found.status_code} {found.text}")
                        continue
                    self.answers.append(read(host.name, path, at, found.json()))
                    self._end.wait(PAUSE)


def read(host: str, path: str, at: float, document: dict[str, Any]) -> Answer:
    """What an answer says."""
    about = document["provenance"]
    products = tuple(item["product_id"] for item in document["items"])
    return Answer(host, path, at, 200, about["source"], about["model"], about["generation"], products)
