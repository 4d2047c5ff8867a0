"""The clients of Elasticsearch and OpenSearch: how they are made from the settings, and their errors.

Both take the same calls with a `body` and answer with mappings, so the index uses either of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from recsys.errors import Unavailable
from recsys.search.backends.base import SearchDown
from recsys.settings import SearchSettings

__all__ = ["EngineClient", "connect", "elasticsearch_client", "opensearch_client"]

_LONGEST_REASON = 300
_REFUSED_BY_OPENSEARCH = (404, 406)
"""Status codes for what is missing, and for the media types of Elasticsearch's client."""
_OTHER_PRODUCT = (
    "The server at RECSYS_SEARCH__URL is not Elasticsearch; for OpenSearch, set "
    "RECSYS_SEARCH__ENGINE=opensearch."
)


@dataclass(frozen=True)
class EngineClient:
    """A client of one engine.

    Attributes
    ----------
    name
        Of the engine, as reports show it.
    api
        `elasticsearch.Elasticsearch` or `opensearchpy.OpenSearch`; shared by all threads.
    errors
        A context that raises SearchDown for the client's own errors.
    """

    name: str
    api: Any
    errors: Callable[[], AbstractContextManager[None]]


def connect(settings: SearchSettings) -> EngineClient:
    """The client of the engine in the settings; it connects with its first request. Raises Unavailable."""
    make = opensearch_client if settings.engine == "opensearch" else elasticsearch_client
    try:
        return make(settings)
    except ImportError as error:
        raise Unavailable(
            f"RECSYS_SEARCH__URL is set, but the client of {settings.engine} is not installed: "
            "pip install 'recsys[search]'"
        ) from error


def elasticsearch_client(settings: SearchSettings, **options: Any) -> EngineClient:
    """The official client of Elasticsearch. Raises ImportError where it is not installed."""
    from elasticsearch import Elasticsearch

    if settings.api_key is not None:
        options["api_key"] = settings.api_key.get_secret_value()
    if settings.user is not None and settings.password is not None:
        options["basic_auth"] = (settings.user, settings.password.get_secret_value())
    api = Elasticsearch(
        _url(settings),
        request_timeout=settings.timeout_seconds,
        retry_on_timeout=False,
        max_retries=1,
        **_tls(settings),
        **options,
    )
    return EngineClient("elasticsearch", api, _elasticsearch_errors)


def opensearch_client(settings: SearchSettings) -> EngineClient:
    """The official client of OpenSearch. Raises ImportError where it is not installed."""
    from opensearchpy import OpenSearch

    # it logs every request
    logging.getLogger("opensearch").setLevel(logging.WARNING)
    options: dict[str, Any] = {}
    if settings.user is not None and settings.password is not None:
        options["http_auth"] = (settings.user, settings.password.get_secret_value())
    api = OpenSearch(
        hosts=[_url(settings)],
        timeout=settings.timeout_seconds,
        retry_on_timeout=False,
        max_retries=1,
        **_tls(settings),
        **options,
    )
    return EngineClient("opensearch", api, _opensearch_errors)


def _url(settings: SearchSettings) -> str:
    assert settings.url is not None
    return settings.url


def _tls(settings: SearchSettings) -> dict[str, Any]:
    if not _url(settings).startswith("https"):
        return {}
    options: dict[str, Any] = {"verify_certs": settings.verify_certs}
    if settings.ca_certs is not None:
        options["ca_certs"] = str(settings.ca_certs)
    if not settings.verify_certs:
        options["ssl_show_warn"] = False
    return options


@contextmanager
def _elasticsearch_errors() -> Iterator[None]:
    from elasticsearch import ApiError, TransportError, UnsupportedProductError

    try:
        yield
    except UnsupportedProductError as error:
        raise SearchDown(_OTHER_PRODUCT) from error
    except ApiError as error:
        # the client checks the product of successful responses only
        if error.status_code in _REFUSED_BY_OPENSEARCH and "x-elastic-product" not in error.meta.headers:
            raise SearchDown(_OTHER_PRODUCT) from error
        raise _refused("Elasticsearch", error.status_code, error.body) from error
    except TransportError as error:
        raise _unreachable("Elasticsearch", error) from error


@contextmanager
def _opensearch_errors() -> Iterator[None]:
    from opensearchpy import ConnectionError as NotConnected
    from opensearchpy import OpenSearchException, TransportError

    try:
        yield
    except NotConnected as error:
        raise _unreachable("OpenSearch", error) from error
    except TransportError as error:
        raise _refused("OpenSearch", error.status_code, error.info or error.error) from error
    except OpenSearchException as error:
        raise _unreachable("OpenSearch", error) from error


def _refused(engine: str, status: object, body: object) -> SearchDown:
    reason = body.get("error", {}) if isinstance(body, dict) else body
    return SearchDown(f"{engine} answered {status}: {str(reason)[:_LONGEST_REASON]}")


def _unreachable(engine: str, error: Exception) -> SearchDown:
    return SearchDown(f"{engine} does not answer ({type(error).__name__}).")
