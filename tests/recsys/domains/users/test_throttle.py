"""A flood of wrong passwords keeps out neither the owner's device nor the owner at another address."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from recsys.cache import client as cache_client
from recsys.domains.users.credentials import throttle
from recsys.errors import Throttled
from recsys.settings import get_settings
from tests.support.shop import Shop

MOST = 2
ACCOUNT = "user:1"


@pytest.fixture(params=[True, False], ids=["with Redis", "without Redis"])
def attempt(
    request: pytest.FixtureRequest,
    shop: Shop,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., bool]:
    """Count an attempt; whether it is let through."""
    monkeypatch.setenv("RECSYS_USERS__FAILURES_PER_ACCOUNT", str(MOST))
    monkeypatch.setenv("RECSYS_USERS__FAILURES_PER_ADDRESS", "1000")
    monkeypatch.setattr(throttle, "_local", throttle._Local())
    if not request.param:
        monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1/0")
    get_settings.cache_clear()
    cache_client.close()

    def begin(
        address: str, *, device: str | None = None, right: bool = False, account: str = ACCOUNT
    ) -> bool:
        try:
            begun = throttle.begin(account, address, device=device)
        except Throttled:
            return False
        if right:
            begun.succeeded()
        return True

    return begin


def _flood(attempt: Callable[..., bool], networks: int) -> int:
    """Wrong passwords from many networks, two from each; how many are let through."""
    return sum(
        attempt(f"10.{number // 256}.{number % 256}.7") for number in range(networks) for _ in range(2)
    )


def test_a_flood_leaves_each_network_one_attempt_and_the_owner_a_way_in(attempt: Callable[..., bool]) -> None:
    # ten times what one network may, and then one of each
    assert _flood(attempt, 15) == 10 * MOST + 5
    assert attempt("192.0.2.1", right=True)
    assert attempt("192.0.2.1", right=True), "the right password takes its attempt back"
    assert attempt("192.0.2.1")
    assert not attempt("192.0.2.2", right=True), "the same provider's network"
    assert attempt("198.51.100.1")
    assert attempt("192.0.2.1", account="user:2"), "another account is not slowed down"


def test_from_a_hundred_times_on_only_known_devices_are_let_in(attempt: Callable[..., bool]) -> None:
    assert attempt("192.0.2.9", device="1:abc", right=True)
    _flood(attempt, 10 * MOST + 90 * MOST)
    assert not attempt("192.0.2.1", right=True)
    assert attempt("192.0.2.1", device="1:abc", right=True)


def test_a_device_counts_for_itself_alone(attempt: Callable[..., bool]) -> None:
    for _ in range(MOST):
        assert attempt("192.0.2.1", device="1:abc")
    assert not attempt("192.0.2.1", device="1:abc", right=True)
    # neither the account nor the address has a failure of it
    for _ in range(MOST):
        assert attempt("192.0.2.1")
    assert attempt("192.0.2.1", device="1:other", right=True)


def test_a_right_password_takes_nothing_off_what_others_failed(attempt: Callable[..., bool]) -> None:
    _flood(attempt, 10)
    for number in range(30):
        assert attempt(f"192.0.{number}.1", right=True)
    # one more failure and the account counts as flooded
    assert attempt("172.16.0.1")
    assert attempt("172.16.1.1")
    assert not attempt("172.16.1.1")


def test_addresses_of_one_customer_are_one_network(attempt: Callable[..., bool]) -> None:
    assert attempt("2001:db8:0:1::1")
    assert attempt("2001:db8:0:1:ffff::2")
    assert not attempt("2001:db8:0:1::3")
    assert attempt("2001:db8:0:2::1")
    assert attempt("192.0.2.1")
    assert attempt("::ffff:192.0.2.1")
    assert not attempt("::ffff:c000:201")


def test_a_flooded_account_takes_one_attempt_of_a_48(attempt: Callable[..., bool]) -> None:
    _flood(attempt, 10)
    assert [attempt(f"2001:db8:7:{number:x}::1") for number in range(20)] == [True] + [False] * 19
    for number in range(100 * MOST):
        attempt(f"2001:db8:7:{number:x}::1")
    assert attempt("192.0.2.1", right=True), "one customer's network keeps nobody else out"


@given(st.ip_addresses())
def test_a_network_holds_its_address_and_wider_ones_hold_it(address: object) -> None:
    from ipaddress import IPv6Address, ip_address, ip_network

    text = str(address)
    network = ip_network(throttle.network_of(text))
    wide = ip_network(throttle.network_of(text, wide=True))
    parsed = ip_address(text)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    assert parsed in network
    assert network.subnet_of(wide)  # type: ignore[arg-type]


def test_what_is_no_address_stays_as_it_is() -> None:
    assert throttle.network_of("testclient", wide=True) == "testclient"
