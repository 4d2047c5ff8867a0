"""No more is kept of a visitor's address than is allowed, and a campaign survives a long URL."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import Literal
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.analytics.anonymisation import Campaign, campaign_of, fitting, kept_address


@pytest.mark.parametrize(
    ("host", "how", "kept"),
    [
        ("203.0.113.77", "full", "203.0.113.77/32"),
        ("203.0.113.77", "truncated", "203.0.113.0/24"),
        ("203.0.113.77", "none", None),
        ("2001:db8:aa:bb:cc::1", "full", "2001:db8:aa:bb:cc::1/128"),
        ("2001:db8:aa:bb:cc::1", "truncated", "2001:db8:aa::/48"),
        ("::ffff:203.0.113.77", "truncated", "203.0.113.0/24"),
        ("fe80::1%eth0", "truncated", "fe80::/48"),
        ("testclient", "full", None),
        (None, "full", None),
    ],
)
def test_an_address_is_kept_as_far_as_allowed(
    host: str | None, how: Literal["full", "truncated", "none"], kept: str | None
) -> None:
    assert kept_address(host, how) == (None if kept is None else ip_interface(kept))


@given(st.ip_addresses())
def test_a_truncated_address_is_the_same_for_its_whole_network(address: object) -> None:
    kept = kept_address(str(address), "truncated")
    assert kept is not None
    assert kept.ip == kept.network.network_address
    assert kept.network.prefixlen == (24 if kept.version == 4 else 48)
    mapped = getattr(ip_address(str(address)), "ipv4_mapped", None)
    assert (mapped or address) in kept.network


@pytest.mark.parametrize(
    ("url", "campaign"),
    [
        ("https://s.example/?utm_source=letter&utm_medium=email&utm_campaign=Tee%20%26%20Kaffee",
         Campaign("letter", "email", "Tee & Kaffee")),
        ("/tea?a=1&UTM_Source=x&utm_source=y#utm_medium=no", Campaign("x")),
        ("/tea?utm_source=&utm_medium=+", Campaign()),
        ("/tea?utm_source=%00a%FF", Campaign("a\ufffd")),
        ("/tea?utm_source=" + "x" * 200, Campaign("x" * 100)),
        ("/tea", Campaign()),
        (None, Campaign()),
    ],
)  # fmt: skip
def test_a_campaign_is_read(url: str | None, campaign: Campaign) -> None:
    assert campaign_of(url) == campaign


@given(st.text(max_size=900), st.text(min_size=1, max_size=30).filter(str.strip))
def test_a_url_fits_and_one_that_fits_stays(path: str, source: str) -> None:
    assert len(fitting(path)) <= 500
    if len(path) <= 500:
        assert fitting(path) == path
    long = f"https://shop.example/{'p' * len(path)}?{'q' * 600}&{urlencode({'utm_source': source})}#{'f' * 9}"
    assert len(fitting(long)) <= 500
    assert campaign_of(fitting(long)) == campaign_of(long)
