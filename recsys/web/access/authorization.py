"""Who may ask what: pure decisions, from the key, the log-in and where the request comes from."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from starlette.types import Scope

from recsys.domains.users.api_keys.api_key_cache import Key
from recsys.domains.users.api_keys.service import Scope as KeyScope
from recsys.settings import Settings, get_settings

__all__ = [
    "AccessDecision",
    "decide",
    "is_loopback",
    "key_of",
    "key_opens",
    "keys_are_optional",
    "plainly_allowed",
    "starts_without_keys",
]


class AccessDecision(Enum):
    """What becomes of a request."""

    ALLOWED = 200
    LOG_IN = 401
    FORBIDDEN = 403


def decide(
    scope: KeyScope,
    *,
    key: Key | None = None,
    caller: int | None = None,
    about: int | None = None,
    optional: bool = False,
) -> AccessDecision:
    """Whether something that needs `scope` is answered.

    The answer never depends on whether the user `about` exists.

    Parameters
    ----------
    key
        The valid key of the request, whatever its scopes.
    caller
        The user who is logged in.
    about
        The one user that the request is about; that user needs no key.
    optional
        Whether requests without a key are answered (`keys_are_optional`).
    """
    if key is not None and scope in key.scopes:
        return AccessDecision.ALLOWED
    if about is not None and caller == about:
        return AccessDecision.ALLOWED
    if key is None and optional:
        return AccessDecision.ALLOWED
    return AccessDecision.LOG_IN if key is None and caller is None else AccessDecision.FORBIDDEN


def key_of(scope: Scope) -> Key | None:
    """The valid key that `recsys.web.access.authentication.Gate` found in this request."""
    found: Key | None = scope.get("state", {}).get("key")
    return found


def key_opens(scope: Scope, needed: KeyScope) -> bool:
    """Whether the request's key has the scope; False without a key."""
    key = key_of(scope)
    return key is not None and needed in key.scopes


def plainly_allowed(scope: Scope, needed: KeyScope) -> bool:
    """Whether key or environment allow it without a look at who is logged in: microseconds, for hot paths.

    After a False the documented route with its `recsys.web.access.api_key_dependencies.require` decides and
    words the refusal.
    """
    key = key_of(scope)
    return needed in key.scopes if key is not None else keys_are_optional(scope)


def keys_are_optional(scope: Scope) -> bool:
    """Whether this request needs no key: development, on loopback, from this very machine."""
    client = scope.get("client")
    return starts_without_keys(get_settings()) and (client is None or not _is_elsewhere(client[0]))


def starts_without_keys(settings: Settings, host: str | None = None) -> bool:
    """Whether the API may listen on `host` (by default the setting's) with nothing but open doors."""
    return settings.environment == "development" and is_loopback(host or settings.api.host)


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


@lru_cache(maxsize=1024)
def _is_elsewhere(peer: str) -> bool:
    """Whether a peer has an address that is not of this machine; local sockets have none."""
    try:
        ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    return not is_loopback(peer)
