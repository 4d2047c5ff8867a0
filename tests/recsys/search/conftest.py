"""The indices under contract, each filled with the same catalogue."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy.orm import Session

from recsys.search.backends.base import SearchIndex
from recsys.search.backends.elasticsearch.index import ElasticIndex
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.settings import SearchSettings
from tests.journeys.conftest import counter
from tests.recsys.domains.users.conftest import desk
from tests.recsys.search import compatible
from tests.recsys.search.catalogue import Catalogue, fill

__all__ = ["counter", "desk"]


class Clients:
    """The official client for each compatible server, which is started when first asked for."""

    def __init__(self, folders: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._folders = folders
        self._stack = stack
        self._started: dict[str, Any] = {}

    def of(self, name: str) -> Any:
        if name not in self._started:
            url = self._stack.enter_context(compatible.running(name, self._folders.mktemp(name)))
            one = self._started[name] = compatible.client(name, url)
            self._stack.callback(one.close)
        return self._started[name]


@pytest.fixture(scope="session")
def elastic_clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """The compatible servers of this pytest process."""
    with ExitStack() as stack:
        yield Clients(tmp_path_factory, stack)


@pytest.fixture(params=["postgresql", *compatible.SERVERS])
def index(request: pytest.FixtureRequest, elastic_clients: Clients) -> SearchIndex:
    """Every index that there is, empty."""
    settings = SearchSettings(prefix=f"t{secrets.token_hex(6)}")
    if request.param == "postgresql":
        return PostgresIndex(settings)
    return ElasticIndex(elastic_clients.of(request.param), settings)


@pytest.fixture
def catalogue(session: Session, index: SearchIndex) -> Catalogue:
    """Stored, and indexed from nothing."""
    filled = fill(session)
    index.reindex(session)
    return filled
