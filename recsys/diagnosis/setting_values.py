"""Values of settings that are addresses, paths and weights: checked when they are read.

Each function returns the value or raises ValueError with what is expected. Messages do not repeat the value,
which may hold a password.
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = [
    "certificates",
    "database_address",
    "folder",
    "further_database_address",
    "interaction_weights",
    "origin",
    "public_address",
    "redis_address",
    "search_log_in",
    "store_address",
    "time_zone",
    "web_address",
]

_DATABASE_NUMBER = re.compile(r"(/\d*)?")
_DATABASES = ("postgres", "postgresql", "postgresql+psycopg")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_SIGNED = "dismissed"
"""The interaction type whose weight may be negative: it says that a user does not want a product."""


def database_address(url: str) -> str:
    """An address of PostgreSQL in which no part of a password can be read as a host, which drivers repeat."""
    rest = url.partition("://")[2]
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if authority.count("@") > 1 or "@" in rest[len(authority) :]:
        raise ValueError(
            "expected postgresql://user:password@host:5432/database; write @ : / ? # and % in a user or "
            "password percent-encoded (@ is %40)"
        )
    return url


def further_database_address(url: str) -> str:
    """The same, and of a server's form: nothing connects to it until it is needed."""
    expected = (
        "expected postgresql://user:password@host:port/database, with special characters of the password "
        "written as %XX"
    )
    scheme, _, rest = database_address(url).partition("://")
    if scheme not in _DATABASES or not rest:
        raise ValueError(expected)
    if not rest.startswith("/"):  # else a local socket
        _server_path(url, _DATABASES, expected)
    return url


def redis_address(url: str) -> str:
    """An address of Redis or Valkey, over TCP or a local socket."""
    expected = (
        "expected redis://user:password@host:port/0, rediss://…, redis+cluster://user:password@host:port,… "
        "or unix:///path; write @ : / ? # and % in a user or password percent-encoded (@ is %40)"
    )
    scheme, _, rest = url.partition("://")
    if scheme in ("redis+cluster", "rediss+cluster"):
        # each node as the address of one server, which a cluster has one database of
        login, at, places = rest.removesuffix("/").removesuffix("/0").rpartition("@")
        for place in places.split(","):
            if _server_path(f"redis://{login}{at}{place}", ("redis",), expected):
                raise ValueError(expected)
        return url
    if re.fullmatch(r"unix://\S+", url):
        return url
    path = _server_path(url, ("redis", "rediss"), expected)
    if not _DATABASE_NUMBER.fullmatch(path):
        raise ValueError(expected)
    return url


def store_address(address: str) -> str:
    """An address of a store of artifacts, without credentials, query and fragment; no slash at its end."""
    if not re.fullmatch(r"file:(//)?/[^\s?#]+|(s3|gs)://[a-z0-9][a-z0-9._-]+(/[^\s?#@]*)?", address):
        raise ValueError(
            "expected s3://bucket/prefix, gs://bucket/prefix or file:///folder, without credentials: these "
            "are in the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return address.rstrip("/")


def web_address(url: str) -> str:
    """An address of HTTP or HTTPS."""
    _server_path(url, ("http", "https"), "expected http://host:port or https://host:port")
    return url


def public_address(url: str) -> str:
    """An address of HTTP or HTTPS that others are given: no credentials, no query, no slash at its end."""
    expected = "expected an address such as https://recsys.example.com, without credentials and query"
    _server_path(url, ("http", "https"), expected)
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#@]*[^\s/?#@])?", url):
        raise ValueError(expected)
    return url


def search_log_in(
    url: str | None, engine: str, credentials: tuple[object, object, object], *, plain_http: bool
) -> None:
    """Check that API key, user and password (or None) are one way to log in, sent to others by HTTPS only."""
    api_key, user, password = credentials
    if api_key is not None and user is not None:
        raise ValueError("either an api_key, or user and password")
    if (user is None) != (password is None):
        raise ValueError("user and password go together")
    if engine == "opensearch" and api_key is not None:
        raise ValueError("OpenSearch has no API keys: give user and password")
    parts = urlsplit(url or "")
    logs_in = api_key is not None or user is not None or parts.password is not None
    if logs_in and parts.scheme == "http" and parts.hostname not in _THIS_MACHINE and not plain_http:
        raise ValueError(
            "the log-in would be sent unencrypted: use an https:// address, or allow it with "
            "RECSYS_SEARCH__PLAIN_HTTP=true"
        )


def origin(url: str) -> str:
    """The origin of web pages: scheme, host and port."""
    expected = "expected a JSON list of origins, each like https://shop.example; no path, no *"
    # "*" together with cookies would let any page on the web act in a visitor's name
    if not re.fullmatch(r"https?://[a-z0-9.\-\[\]:]+", url):
        raise ValueError(expected)
    _server_path(url, ("http", "https"), expected)
    return url


def folder(path: Path) -> Path:
    """A folder that exists or can be made."""
    # Path("") is the current folder, which an empty variable does not mean
    if path == Path() or "\x00" in str(path):
        raise ValueError("expected a folder; leave the variable unset for the default")
    ancestors = (parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not next(ancestors, Path("/")).is_dir():
        raise ValueError("expected a folder that exists or can be made; a file is in its way")
    return path


def certificates(path: Path) -> Path:
    """A file of PEM certificates."""
    try:
        ssl.create_default_context(cafile=str(path))
    except (OSError, ValueError) as error:
        raise ValueError("expected a file of PEM certificates that can be read") from error
    return path


def time_zone(name: str) -> str:
    """A time zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("expected a time zone of the IANA database, such as UTC or Europe/Berlin") from error
    return name


def interaction_weights(weights: Mapping[str, float], *, signed: bool) -> None:
    """Weights per interaction type; with `signed` that of dismissals may be negative."""
    for name, weight in weights.items():
        if not math.isfinite(weight) or (weight < 0 and not (signed and name == _SIGNED)):
            raise ValueError(
                f"the weight of {name!r} must be a finite number of 0 or more"
                + (f"; only that of {_SIGNED!r} may be negative" if signed else "")
            )


def _server_path(url: str, schemes: tuple[str, ...], expected: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(expected) from error
    _one_login(url, expected)
    if parts.scheme not in schemes or not parts.hostname or port == 0 or re.search(r"\s", url):
        raise ValueError(expected)
    return parts.path


def _one_login(url: str, expected: str) -> None:
    """Refuse a user or password with a character that ends it, so that its rest is read as host or path."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(expected) from error
    rest = url.partition("://")[2][len(parts.netloc) :]
    if parts.netloc.count("@") > 1 or "@" in rest or port == 0 or re.search(r"\s", url):
        raise ValueError(expected)
