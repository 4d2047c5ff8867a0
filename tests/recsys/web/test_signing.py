"""Signatures of cursors: their keys come from the settings, can be changed, and all processes share them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recsys.settings import ApiSettings, get_settings
from recsys.web.access import signing
from recsys.web.access.signing import SIZE, blake2, hmac_sha256, is_signed, sign
from tests.recsys.domains.users.conftest import Desk

OLD, NEW = "an old secret of a shop", "the new secret of the shop"


def use(monkeypatch: pytest.MonkeyPatch, *secrets: str) -> None:
    monkeypatch.setenv("RECSYS_API__CURSOR_SECRETS", str(list(secrets)).replace("'", '"'))
    get_settings.cache_clear()


def test_a_key_is_changed_without_refusing_what_the_old_one_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, OLD)
    signed = sign(b"page", b"data")
    assert len(signed) == SIZE
    use(monkeypatch, NEW, OLD)
    assert is_signed(b"page", b"data", signed)
    assert sign(b"page", b"data") != signed, "the first one signs"
    use(monkeypatch, NEW)
    assert not is_signed(b"page", b"data", signed)


def test_a_signature_is_for_one_purpose_and_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, OLD)
    signed = sign(b"page", b"data")
    for purpose, data, signature in (
        (b"list", b"data", signed), (b"page", b"Data", signed), (b"page", b"data", signed[:-1]),
        (b"page", b"data", b""),
    ):  # fmt: skip
        assert not is_signed(purpose, data, signature)


def test_each_way_of_signing_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    key, message = bytes(range(32)), b"page\0data"
    assert hmac_sha256(key, message) == hmac.new(key, message, hashlib.sha256).digest()[:SIZE]
    # RFC 7693: the length of the digest is hashed too, so a longer digest that is cut is another one
    assert blake2(key, message) == hashlib.blake2b(message, digest_size=SIZE, key=key).digest()
    assert blake2(key, message) != hashlib.blake2b(message, key=key).digest()[:SIZE]
    use(monkeypatch, OLD)
    assert is_signed(b"page", b"data", sign(b"page", b"data", blake2), blake2)
    assert not is_signed(b"page", b"data", sign(b"page", b"data", blake2))


def test_short_secrets_are_refused() -> None:
    with pytest.raises(ValueError, match="16 or more"):
        ApiSettings(cursor_secrets=("short",))  # type: ignore[arg-type]


def test_without_a_setting_all_processes_find_one_key(tmp_path: Path) -> None:
    path = tmp_path / "run" / "cursor.key"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: signing._of_file(path), range(32)))
    assert len(found) == 1
    assert [one.name for one in path.parent.iterdir()] == ["cursor.key"]
    assert path.stat().st_mode & 0o077 == 0


def test_pages_of_every_list_refuse_what_they_did_not_give(desk: Desk) -> None:
    with desk.shop.connect() as connection:
        connection.execute(
            "INSERT INTO products_db.products (name, slug, price, status) "
            "SELECT 'P' || i, 'p' || i, i, 'active' FROM generate_series(1, 5) i"
        )
    path = "/api/v1/products"
    cursor = desk.client.get(path, params={"sort": "price", "limit": 2}).json()["next_cursor"]
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert desk.client.get(path, params={"sort": "price", "limit": 3, "cursor": cursor}).status_code == 200
    forged = [raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :] for place in range(len(raw))]
    forged += [raw[:-1], raw[SIZE:], b"", raw + raw]
    for one in forged:
        text = base64.urlsafe_b64encode(one).rstrip(b"=").decode()
        answer = desk.client.get(path, params={"sort": "price", "cursor": text})
        assert answer.status_code == 422, one
        assert "cursor" in answer.json()["detail"]
    for other in ({"sort": "newest"}, {"sort": "price", "min_price": "2"}):
        assert desk.client.get(path, params={**other, "cursor": cursor}).status_code == 422
