"""`recsys keys` for publishable keys: secrets alone on stdout, rotation, and refusals with exit code 2."""

from __future__ import annotations

import json

from recsys.web.access.signing import user_token_secrets
from recsys.web.access.user_tokens import read_user_token
from tests.support.shop import Shop

ORIGIN = "https://shop.example"


def test_publishable_keys_from_the_command_line(shop: Shop) -> None:
    created = json.loads(shop.run("keys", "publish", "page", "--origin", ORIGIN, "--json").stdout)
    assert created["key"].startswith("pk_")
    assert (created["scopes"], created["origins"]) == (["page"], [ORIGIN])
    prefix = created["prefix"]
    secret = shop.run("keys", "secret", "page").stdout.strip()
    assert secret == user_token_secrets(prefix, 1)[0]
    token = shop.run("keys", "user-token", created["key"], "cust1000", "--minutes", "5").stdout.strip()
    assert read_user_token([secret], token) == "cust1000"
    rotated = json.loads(shop.run("keys", "rotate", "page", "--json").stdout)
    assert rotated["signing_secret"] == user_token_secrets(prefix, 2)[0] != secret
    assert secret in user_token_secrets(prefix, 2)
    last = json.loads(shop.run("keys", "rotate", prefix, "--at-once", "--json").stdout)
    assert last["signing_secret"] == user_token_secrets(prefix, 4)[0]
    assert rotated["signing_secret"] not in user_token_secrets(prefix, 4)
    assert secret not in shop.run("keys", "list", "--json").stdout


def test_what_is_no_publishable_key_signs_nothing(shop: Shop) -> None:
    assert shop.run("keys", "create", "server", "--scope", "events").returncode == 0
    assert shop.run("keys", "publish", "gone", "--origin", ORIGIN).returncode == 0
    assert shop.run("keys", "revoke", "gone").returncode == 0
    for arguments, reason in (
        (("secret", "server"), "secret key"),
        (("rotate", "server"), "secret key"),
        (("secret", "gone"), "revoked"),
        (("secret", "unknown"), "no key has the prefix or name"),
        (("publish", "wide", "--origin", "*"), "origin"),
        (("publish", "plain", "--origin", "http://shop.example"), "not encrypted"),
        (("create", "page", "--scope", "page"), "unknown scope"),
    ):
        done = shop.run("keys", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert reason in done.stderr
