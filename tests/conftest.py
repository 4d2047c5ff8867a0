"""Fixtures for all tests, and a clean slate: no RECSYS_* variable or .env file of the developer gets in."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import fastapi.dependencies.models
import pytest
from hypothesis import HealthCheck, settings

from recsys.settings import Settings
from tests.support.hosts.object_server import s3, s3_bucket, s3_server, s3_shop
from tests.support.hosts.spark import spark_session
from tests.support.kinds import kind_of
from tests.support.scheduling import FileScheduling, longest_first
from tests.support.servers import (
    database_url,
    databases,
    fresh_database,
    migrated_template,
    other_databases,
    servers,
    session,
)
from tests.support.shop import _several_servers, cluster, other_servers, pooler, redis_client, shop

__all__ = [
    "_several_servers",
    "cluster",
    "database_url",
    "databases",
    "fresh_database",
    "migrated_template",
    "other_databases",
    "other_servers",
    "pooler",
    "redis_client",
    "s3",
    "s3_bucket",
    "s3_server",
    "s3_shop",
    "servers",
    "session",
    "shop",
    "spark_session",
]

for _name in [name for name in os.environ if name.startswith("RECSYS_")]:
    del os.environ[_name]
Settings.model_config["env_file"] = None

# httpx reads a file of 140 certificates for each client that it makes, 20 ms of a processor; those of a
# folder are read when one is needed, and no test needs any
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = os.devnull

# no test fails for being slow: how fast a machine is, and what else it does, says nothing of the code
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test as unit, integration or e2e, by what it needs, and put the longest first."""
    for item in items:
        item.add_marker(kind_of(item.nodeid, getattr(item, "fixturenames", ())))
    items[:] = longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FileScheduling:
    """Divide the tests by file between the processes of pytest-xdist."""
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


def pytest_configure() -> None:
    """No garbage is looked for while modules and tests are made: a fifth of the time that takes."""
    gc.disable()
    # a shell lets what runs in its background ignore Ctrl-C, and every process of a test would inherit that
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """All modules and tests are there to stay: looking at them again and again takes a minute."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_look_at_everything_at_each_start() -> Iterator[None]:
    """An API that starts collects, freezes and counts all objects: beside all tests that takes seconds.

    The tests are frozen already, see `pytest_collection_finish`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.server.runtime_tuning._freeze_objects", lambda: True)
        yield


@pytest.fixture(scope="module", autouse=True)
def applications_end_with_their_module() -> Iterator[None]:
    """FastAPI remembers the last thousands of functions that it looked at, and so the application of each."""
    yield
    for each in vars(fastapi.dependencies.models).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()
