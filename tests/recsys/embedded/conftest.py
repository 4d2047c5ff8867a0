"""Servers of their own for tests that stop, kill and damage them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from recsys import embedded
from recsys.settings import Settings
from tests.support.servers import temporary_var

AS_ROOT = os.name == "posix" and os.geteuid() == 0


@pytest.fixture(scope="package")
def durable_var() -> Iterator[Path]:
    """One `var/` with durable servers for the whole folder; each test takes it as it finds it."""
    with temporary_var() as var:
        yield var


@pytest.fixture
def durable(durable_var: Path) -> Settings:
    """Settings of running, durable servers."""
    settings = Settings(var=durable_var, environment="test")
    embedded.start(settings)
    return settings


@pytest.fixture
def fresh_var() -> Iterator[Path]:
    """An empty `var/` of this test's own."""
    with temporary_var() as var:
        yield var


def pids(settings: Settings) -> dict[str, int]:
    """The running servers' processes."""
    found = {each.name: each.pid for each in embedded.status(settings)}
    return {name: pid for name, pid in found.items() if pid is not None}


def gone(pid: int) -> bool:
    """Whether the process has ended, its parent's notice or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
