"""A server that others can reach does not start with open doors, and says what is missing."""

from __future__ import annotations

import json
import subprocess

import httpx
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.errors import Invalid
from recsys.settings import get_settings
from serving.server.server import check_access
from tests.support import warm
from tests.support.shop import Shop
from tests.support.waiting import until

SECRET = "a-secret-for-this-test-only"


def test_what_is_missing_is_reported_one_by_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for environment, host in (("development", "0.0.0.0"), ("test", "127.0.0.1"), ("production", "127.0.0.1")):
        monkeypatch.setenv("RECSYS_ENVIRONMENT", environment)
        for secret in (None, "", "short"):
            if secret is not None:
                monkeypatch.setenv("RECSYS_PAYMENTS__WEBHOOK_SECRET", secret)
            get_settings.cache_clear()
            with pytest.raises(Invalid, match="RECSYS_PAYMENTS__WEBHOOK_SECRET") as caught:
                check_access(get_settings(), host)
            assert not secret or secret not in caught.value.message.replace("too short", "")
        monkeypatch.setenv("RECSYS_PAYMENTS__WEBHOOK_SECRET", SECRET)
        get_settings.cache_clear()
        with pytest.raises(Invalid, match="recsys keys create"):
            check_access(get_settings(), host)
        with unit_of_work() as session:
            api_keys.create(session, "shop", ["recommend"], by="tests")
        check_access(get_settings(), host)
        with unit_of_work() as session:
            api_keys.revoke(session, "shop", by="tests")
        with pytest.raises(Invalid, match="no API key"):
            check_access(get_settings(), host)
        monkeypatch.delenv("RECSYS_PAYMENTS__WEBHOOK_SECRET")


def test_development_on_loopback_needs_nothing(shop: Shop) -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        check_access(get_settings(), host)


def test_the_command_refuses_in_one_line(shop: Shop) -> None:
    result = shop.run("serve", "api", "--host", "0.0.0.0", RECSYS_PAYMENTS__WEBHOOK_SECRET=SECRET)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "recsys keys create" in result.stderr
    assert not (shop.var / "run" / "api.json").exists()


def test_who_asks_for_another_address_needs_a_key_on_every_one(
    open_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_PAYMENTS__WEBHOOK_SECRET", SECRET)
    with unit_of_work() as session:
        key = api_keys.create(session, "shop", ["events"], by="tests").key
    process = warm.start(
        *("-m", "recsys", "serve", "api", "--host", "0.0.0.0"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = open_shop.var / "run" / "api.json"
    try:
        until(lambda: address.exists() or process.poll() is not None, 60)
        url = json.loads(address.read_text())["url"]
        until(lambda: _answers(url), 60)
        body = [{"user_id": 424242, "product_id": 1, "interaction_type": "view"}]
        assert httpx.post(f"{url}/api/v1/interactions", json=body).status_code == 401
        refused = httpx.post(f"{url}/api/v1/interactions", json=body, headers={"X-Api-Key": key})
        assert refused.status_code == 422
        assert "no such user" in refused.text
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert key not in errors
    assert "424242" not in errors


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=10).status_code == 200
    except httpx.TransportError:
        return False
