"""Signed user tokens: valid with their key and secret alone, until they expire."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import clock
from recsys.errors import Invalid, Unauthorized, Unavailable
from recsys.settings import get_settings
from recsys.web.access.signing import user_token_secrets
from recsys.web.access.user_tokens import looks_like_token, make_user_token, read_user_token

SECRET = "0123456789abcdef" * 4
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=100)


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@given(user=NAMES)
def test_a_token_names_its_user(user: str) -> None:
    token = make_user_token(SECRET, user)
    assert looks_like_token(token)
    assert read_user_token(["another" * 10, SECRET], token) == user
    with pytest.raises(Unauthorized, match="not signed"):
        read_user_token(["another" * 10], token)


@given(place=st.integers(0, 200), letter=st.sampled_from("Aa0-_.="))
def test_a_changed_token_is_refused(place: int, letter: str) -> None:
    token = make_user_token(SECRET, "cust1000")
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    try:
        assert read_user_token([SECRET], changed) == "cust1000"
    except Unauthorized:
        return
    # the last character of a part has bits that its bytes do not hold
    parts = zip(token.split("."), changed.split("."), strict=True)
    assert all(base64.urlsafe_b64decode(a + "==") == base64.urlsafe_b64decode(b + "==") for a, b in parts)


@pytest.mark.parametrize("algorithm", ["none", "None", "HS384", "HS512", "RS256", "ES256"])
def test_other_algorithms_are_refused(algorithm: str) -> None:
    claims = {"sub": "cust1000", "exp": clock.now().timestamp() + 60}
    forged = f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(claims)}."
    _, _, signature = make_user_token(SECRET, "cust1000").split(".")
    for token in (forged, forged + signature):
        with pytest.raises(Unauthorized, match="HS256"):
            read_user_token([SECRET], token)
    if algorithm.startswith("HS"):
        with pytest.raises(Unauthorized, match="HS256"):
            read_user_token([SECRET], jwt.encode(claims, SECRET * 2, algorithm=algorithm))


NOW = 1_800_000_000


def signed(claims: dict[str, object]) -> str:
    """A token as a shop signs it without a library: those refuse to write some claims."""
    content = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    signature = hmac.new(SECRET.encode(), content.encode(), "sha256").digest()
    return f"{content}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW + 60}, "names no user"),
        ({"sub": "", "exp": NOW + 60}, "names no user"),
        ({"sub": "a\0b", "exp": NOW + 60}, "names no user"),
        ({"sub": "a" * 101, "exp": NOW + 60}, "names no user"),
        ({"sub": 7, "exp": NOW + 60}, "the shop's id as a text"),
        ({"sub": None, "exp": NOW + 60}, "the shop's id as a text"),
        ({"sub": "a", "exp": NOW + 300, "nbf": NOW + 120}, "not valid yet"),
        ({"sub": "a", "exp": NOW + 300, "nbf": "soon"}, "not valid yet"),
        ({"sub": "a"}, "no end"),
        ({"sub": "a", "exp": "tomorrow"}, "no end"),
        ({"sub": "a", "exp": True}, "no end"),
        ({"sub": "a", "exp": NOW}, "expired"),
        ({"sub": "a", "exp": NOW - 10_000}, "expired"),
        ({"sub": "a", "exp": NOW + 2 * 86_400}, "more than a day"),
        ({"sub": "a", "exp": float("inf")}, "more than a day"),
        ({"sub": "a", "exp": float("nan")}, "more than a day"),
    ],
)
def test_claims_that_are_missing_or_wrong_are_refused(claims: dict[str, object], reason: str) -> None:
    with clock.frozen_at(datetime.fromtimestamp(NOW, UTC)), pytest.raises(Unauthorized, match=reason):
        read_user_token([SECRET], signed(claims))


def test_claims_of_other_readers_change_nothing() -> None:
    others = {"iss": ["shop"], "aud": "other", "jti": 7, "iat": "now", "nbf": NOW + 30}
    claims = {"sub": "a", "exp": NOW + 60, **others}
    with clock.frozen_at(datetime.fromtimestamp(NOW, UTC)):
        assert read_user_token([SECRET], signed(claims)) == "a"


def test_what_makes_no_token_is_refused() -> None:
    for secret, user, lifetime in (
        ("", "a", timedelta(minutes=1)),
        (SECRET, "", timedelta(minutes=1)),
        (SECRET, "a", timedelta(0)),
        (SECRET, "a", timedelta(days=2)),
    ):
        with pytest.raises(Invalid):
            make_user_token(secret, user, lifetime=lifetime)


def test_secrets_belong_to_a_key_and_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_VAR", str(tmp_path))
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "production")
    monkeypatch.setenv("RECSYS_DATABASE__URL", "postgresql://shop@127.0.0.1/shop")
    monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1/0")
    monkeypatch.setenv("RECSYS_PAYMENTS__WEBHOOK_SECRET", "a-secret-for-this-test-only")
    get_settings.cache_clear()
    with pytest.raises(Unavailable, match="RECSYS_API__USER_TOKEN_SECRETS"):
        user_token_secrets("abcd1234", 1)
    made = {}
    for masters in (["first-secret-of-a-shop"], ["second-secret-of-a-shop", "first-secret-of-a-shop"]):
        monkeypatch.setenv("RECSYS_API__USER_TOKEN_SECRETS", json.dumps(masters))
        get_settings.cache_clear()
        made[len(masters)] = user_token_secrets("abcd1234", 1)
    # what the former setting made is accepted, and no longer the one to sign with
    assert made[1][0] in made[2]
    assert made[2][0] != made[1][0]
    first, second, third = (user_token_secrets("abcd1234", epoch) for epoch in (1, 2, 3))
    assert set(first) <= set(second)
    assert not set(first) & set(third)
    assert not set(second) & set(user_token_secrets("abcd1235", 2))
    assert len({*first, *second, *third}) == 6
    get_settings.cache_clear()
