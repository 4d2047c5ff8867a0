"""Anonymisation: how much of a visitor's address is stored, and which parts of a page's address."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from recsys.settings import AnalyticsSettings

__all__ = ["LONGEST_URL", "Campaign", "campaign_of", "fitting", "kept_address", "place_of"]

LONGEST_URL = 500
"""Characters that the documented columns hold."""
_LONGEST_WORD = 100
_IPV4_PREFIX, _IPV6_PREFIX = 24, 48


def place_of(headers: Mapping[str, str], settings: AnalyticsSettings) -> tuple[str | None, str | None]:
    """Country (two letters) and city of a visitor, from the headers that a proxy sets; None where unknown."""
    country = headers.get(settings.country_header or "", "").strip().upper()
    # Cloudflare and others write XX for an unknown country, and T1 for Tor
    is_country = len(country) == 2 and country.isascii() and country.isalpha() and country != "XX"
    city = headers.get(settings.city_header or "", "").strip()
    # proxies send other letters than ASCII as percent-encoded or raw UTF-8, which HTTP reads as Latin-1
    with contextlib.suppress(UnicodeError):
        city = city.encode("latin-1").decode("utf-8")
    city = unquote(city).replace("\x00", "")[:_LONGEST_WORD]
    return country if is_country else None, city or None


@dataclass(frozen=True)
class Campaign:
    """The advertisement that a page was reached by, from its `utm_…` parameters."""

    source: str | None = None
    medium: str | None = None
    name: str | None = None


def kept_address(
    host: str | None, how: Literal["full", "truncated", "none"]
) -> IPv4Interface | IPv6Interface | None:
    """The visitor's address as it may be stored; None when it is no address, or none may be stored.

    Truncated is the network of 256 addresses (/24), of IPv6 the site's (/48). An IPv4-mapped IPv6 address
    (::ffff:192.0.2.1) is treated as IPv4.
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
    """The campaign in a page's address; the first of each parameter counts."""
    query = url.partition("#")[0].partition("?")[2] if url else ""
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, max_num_fields=None):
        # bytes that are not UTF-8 decode to U+FFFD; a NUL cannot be stored
        parameters.setdefault(name.lower(), value.replace("\x00", "").strip()[:_LONGEST_WORD])
    return Campaign(*(parameters.get(f"utm_{part}") or None for part in ("source", "medium", "campaign")))


def fitting(url: str) -> str:
    """A page's address in at most 500 characters; a longer one first loses its query except the campaign."""
    if len(url) <= LONGEST_URL:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url[:LONGEST_URL]
    campaign = [part for part in parts.query.split("&") if part.lower().startswith("utm_")]
    base = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    query = "&".join(campaign)
    if query and len(base) + 1 + len(query) > LONGEST_URL:
        base = base[: max(0, LONGEST_URL - 1 - len(query))]
    return (f"{base}?{query}" if query else base)[:LONGEST_URL]
