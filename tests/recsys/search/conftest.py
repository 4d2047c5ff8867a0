"""The indices under contract, each filled with the same catalogue."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy.orm import Session

from recsys.search.backends.base import SearchIndex
from recsys.search.backends.elasticsearch.clients import EngineClient, connect
from recsys.search.backends.elasticsearch.index import ElasticIndex
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.settings import SearchSettings
from tests.journeys.conftest import counter
from tests.recsys.domains.users.conftest import desk
from tests.recsys.search import compatible
from tests.recsys.search.backends.elasticsearch import opensearch_node
from tests.recsys.search.catalogue import Catalogue, fill
from tests.support.servers import ROOT

__all__ = ["ENGINES", "SearchEngines", "counter", "desk"]

ENGINES = ("elasticsearch", "opensearch")


class SearchEngines:
    """The settings of each search engine, which is started when first asked for."""

    def __init__(self, folders: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._folders = folders
        self._stack = stack
        self._urls: dict[str, str] = {}
        self._clients: dict[str, EngineClient] = {}

    def settings(self, engine: str) -> SearchSettings:
        """Settings with a prefix of their own: `elasticsearch` is a look-alike, `opensearch` the real one."""
        if engine not in self._urls:
            folder = self._folders.mktemp(engine)
            running = (
                opensearch_node.running(folder, ROOT / "var" / "opensearch")
                if engine == "opensearch"
                else compatible.running(folder)
            )
            self._urls[engine] = self._stack.enter_context(running)
        values = {"url": self._urls[engine], "engine": engine, "prefix": f"t{secrets.token_hex(6)}"}
        return SearchSettings.model_validate(values | {"timeout_seconds": 30})

    def index(self, engine: str) -> ElasticIndex:
        """An empty index; all of an engine share one client."""
        settings = self.settings(engine)
        if engine not in self._clients:
            self._clients[engine] = connect(settings)
            self._stack.callback(self._clients[engine].api.close)
        return ElasticIndex(self._clients[engine], settings)


@pytest.fixture(scope="session")
def search_engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchEngines]:
    """The search engines of this pytest process."""
    with ExitStack() as stack:
        yield SearchEngines(tmp_path_factory, stack)


@pytest.fixture(params=["postgresql", *ENGINES])
def index(request: pytest.FixtureRequest, search_engines: SearchEngines) -> SearchIndex:
    """Every index that there is, empty."""
    if request.param == "postgresql":
        return PostgresIndex(SearchSettings())
    return search_engines.index(request.param)


@pytest.fixture
def catalogue(session: Session, index: SearchIndex) -> Catalogue:
    """Stored, and indexed from nothing."""
    filled = fill(session)
    index.reindex(session)
    return filled
