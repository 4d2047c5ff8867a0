"""Who may ask what, as a table, and where keys are optional."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.users.api_keys.api_key_cache import Key
from recsys.domains.users.api_keys.service import SCOPES, Scope
from recsys.settings import Settings, get_settings
from recsys.web.access.authorization import (
    AccessDecision,
    decide,
    keys_are_optional,
    plainly_allowed,
    starts_without_keys,
)


def _key(*scopes: str) -> Key:
    return Key(1, "shop", "abcd1234", "", frozenset(scopes), float("inf"), None)


RECOMMEND, EVENTS = _key("recommend"), _key("events")
TABLE: list[tuple[Key | None, int | None, int | None, bool, AccessDecision]] = [
    # key, caller, about, keys are optional
    (None, None, None, False, AccessDecision.LOG_IN),
    (None, None, 5, False, AccessDecision.LOG_IN),
    (None, 5, 5, False, AccessDecision.ALLOWED),
    (None, 6, 5, False, AccessDecision.FORBIDDEN),
    (None, 5, None, False, AccessDecision.FORBIDDEN),
    (RECOMMEND, None, 5, False, AccessDecision.ALLOWED),
    (RECOMMEND, None, None, False, AccessDecision.ALLOWED),
    (RECOMMEND, 6, 5, False, AccessDecision.ALLOWED),
    (EVENTS, None, 5, False, AccessDecision.FORBIDDEN),
    (EVENTS, 5, 5, False, AccessDecision.ALLOWED),
    (EVENTS, 6, 5, False, AccessDecision.FORBIDDEN),
    (None, None, None, True, AccessDecision.ALLOWED),
    (None, 6, 5, True, AccessDecision.ALLOWED),
    # a key that is sent is held to its scopes, or nobody could try them out
    (EVENTS, None, 5, True, AccessDecision.FORBIDDEN),
]


@pytest.mark.parametrize(("key", "caller", "about", "optional", "expected"), TABLE)
def test_the_table(
    key: Key | None, caller: int | None, about: int | None, optional: bool, expected: AccessDecision
) -> None:
    assert decide("recommend", key=key, caller=caller, about=about, optional=optional) is expected


users = st.one_of(st.none(), st.integers(1, 3))
given_keys = st.one_of(st.none(), st.sets(st.sampled_from(SCOPES)).map(lambda scopes: _key(*scopes)))


@given(st.sampled_from(SCOPES), given_keys, users, users)
def test_nothing_opens_but_the_scope_and_oneself(
    scope: Scope, key: Key | None, caller: int | None, about: int | None
) -> None:
    verdict = decide(scope, key=key, caller=caller, about=about)
    right_key = key is not None and scope in key.scopes
    oneself = caller is not None and caller == about
    assert (verdict is AccessDecision.ALLOWED) is (right_key or oneself)
    assert (verdict is AccessDecision.LOG_IN) is (key is None and caller is None)
    if not oneself and about is not None:
        # another one is refused in the same way, whether there is such a user or not
        assert decide(scope, key=key, caller=caller, about=10**9) is verdict


@pytest.mark.parametrize(
    ("environment", "host", "optional"),
    [
        ("development", "127.0.0.1", True),
        ("development", "127.8.9.1", True),
        ("development", "::1", True),
        ("development", "[::1]", True),
        ("development", "::ffff:127.0.0.1", True),
        ("development", "localhost", True),
        ("development", "0.0.0.0", False),
        ("development", "::", False),
        ("development", "192.168.1.4", False),
        ("development", "::ffff:10.0.0.1", False),
        ("development", "localhost.example.org", False),
        ("development", "", False),
        ("test", "127.0.0.1", False),
        ("production", "127.0.0.1", False),
    ],
)
def test_keys_are_optional_in_development_on_loopback_only(
    tmp_path: Path, environment: str, host: str, optional: bool
) -> None:
    settings = Settings.model_validate(
        {
            "environment": environment,
            "var": tmp_path,
            "database": {"url": "postgresql://a@b/c"},
            "redis": {"url": "redis://a"},
            "api": {"host": host},
        }
    )
    assert starts_without_keys(settings) is optional
    assert starts_without_keys(settings, host or "0.0.0.0") is optional


@pytest.mark.parametrize(
    ("client", "optional"),
    [
        (("127.0.0.1", 1), True),
        (("::1", 1), True),
        (("testclient", 1), True),
        (None, True),
        (("192.0.2.1", 1), False),
        (("2001:db8::1", 1), False),
        (("fe80::1%eth0", 1), False),
    ],
)
def test_a_remote_caller_needs_a_key_even_in_development(
    client: tuple[str, int] | None, optional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as behind a proxy of the same machine, which listens to the world
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "development")
    get_settings.cache_clear()
    try:
        assert keys_are_optional({"client": client}) is optional
        assert plainly_allowed({"client": client, "state": {"key": None}}, "recommend") is optional
        assert plainly_allowed({"client": client, "state": {"key": RECOMMEND}}, "recommend")
        assert not plainly_allowed({"client": client, "state": {"key": EVENTS}}, "recommend")
    finally:
        get_settings.cache_clear()
