"""What is kept of addresses: of a visitor's, as much as the setting allows; of a page's, what fits."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

__all__ = ["LONGEST_URL", "Campaign", "campaign_of", "fitting", "kept_address"]

LONGEST_URL = 500
"""What the documented columns hold."""
_LONGEST_WORD = 100
_IPV4_PREFIX, _IPV6_PREFIX = 24, 48


@dataclass(frozen=True)
class Campaign:
    """The advertisement that a page was reached by, from its `utm_…` parameters."""

    source: str | None = None
    medium: str | None = None
    name: str | None = None


def kept_address(
    host: str | None, how: Literal["full", "truncated", "none"]
) -> IPv4Interface | IPv6Interface | None:
    """The visitor's address as it may be stored; None when it is none, or none may be.

    Truncated is the network of 256 addresses (/24), of IPv6 the site's (/48). An IPv4 address that came in
    IPv6's clothes (::ffff:192.0.2.1) is treated as what it is.
    """
    if how == "none" or host is None:
        return None
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if how == "full":
        return ip_interface(address)
    prefix = _IPV4_PREFIX if address.version == 4 else _IPV6_PREFIX
    network = ip_interface(f"{address}/{prefix}").network
    return ip_interface(f"{network.network_address}/{prefix}")


def campaign_of(url: str | None) -> Campaign:
    """The campaign that a page's address names; the first of each parameter counts."""
    query = url.partition("#")[0].partition("?")[2] if url else ""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, max_num_fields=None):
        # what is not UTF-8 decodes to U+FFFD, a NUL can't be stored
        found.setdefault(name.lower(), value.replace("\x00", "").strip()[:_LONGEST_WORD])
    return Campaign(*(found.get(f"utm_{part}") or None for part in ("source", "medium", "campaign")))


def fitting(url: str) -> str:
    """A page's address in no more than 500 characters: what is too long loses all but its campaign first."""
    if len(url) <= LONGEST_URL:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url[:LONGEST_URL]
    told = [one for one in parts.query.split("&") if one.lower().startswith("utm_")]
    base = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    query = "&".join(told)
    if query and len(base) + 1 + len(query) > LONGEST_URL:
        base = base[: max(0, LONGEST_URL - 1 - len(query))]
    return (f"{base}?{query}" if query else base)[:LONGEST_URL]
