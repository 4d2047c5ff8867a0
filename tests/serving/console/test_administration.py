"""The screens of keys, staff, the audit and settings."""

from __future__ import annotations

import json
import os
import re

import httpx
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.users import administration, roles
from recsys.domains.users.api_keys import service as api_keys
from recsys.domains.users.roles import Role
from recsys.domains.users.social import service as social
from recsys.settings import get_settings
from serving.server.app import create_app
from tests.serving.console.conftest import LogIn
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.web.pages import form_token, send_form


def test_a_secret_key_is_displayed_once_and_revoked(client: httpx.Client) -> None:
    token = form_token(client, "/console/keys")
    form = {"form_token": token, "name": "web-shop", "scopes": ["recommend", "events"], "days": "30"}
    made = client.post("/console/keys/create", data=form)
    assert made.status_code == 201
    (key,) = re.findall(r"rk_[a-z0-9]{8}_[A-Za-z0-9]{43}", made.text)
    assert key not in client.get("/console/keys").text
    content = client.get("/console/keys", params={"format": "json"})
    assert key not in content.text
    (row,) = content.json()["keys"]
    assert (row["name"], row["state"], row["scopes"]) == ("web-shop", "active", ["recommend", "events"])
    assert send_form(client, f"/console/keys/{row['prefix']}/revoke", {}).status_code == 303
    with unit_of_work() as session:
        assert not api_keys.any_active(session)


def test_a_publishable_key_is_for_its_origins(client: httpx.Client) -> None:
    fields = {"name": "pages", "origins": "https://shop.example, https://www.shop.example"}
    assert send_form(client, "/console/keys/publish", fields).status_code == 201
    (row,) = client.get("/console/keys", params={"format": "json"}).json()["keys"]
    assert row["origins"] == ["https://shop.example", "https://www.shop.example"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("create", {"name": "no-scope"}),
        ("create", {"name": "", "scopes": "admin"}),
        ("create", {"name": "never", "scopes": "admin", "days": "0"}),
        ("create", {"name": "odd", "scopes": "everything"}),
        ("publish", {"name": "pages", "origins": ""}),
        ("publish", {"name": "pages", "origins": "shop.example"}),
        ("publish", {"name": "pages", "origins": "http://shop.example"}),
    ],
)
def test_a_wrong_key_is_refused_and_none_is_made(
    client: httpx.Client, path: str, fields: dict[str, str]
) -> None:
    assert send_form(client, f"/console/keys/{path}", fields).status_code == 422
    with unit_of_work() as session:
        assert api_keys.listed(session) == []


def test_a_role_is_given_and_withdrawn_and_leaves_a_line(log_in: LogIn) -> None:
    client = log_in("administrator")
    given = send_form(
        client, "/console/staff/grant", {"login": "customer@example.org", "role": "merchandiser"}
    )
    assert given.status_code == 303
    members = client.get("/console/staff", params={"format": "json"}).json()["members"]
    (row,) = [member for member in members if member["username"] == "customer"]
    assert row["role"] == "merchandiser"
    assert row["granted_by"].startswith("user ")
    assert members[0]["role"] == "administrator"
    assert send_form(client, f"/console/staff/{row['user_id']}/withdraw", {}).status_code == 303
    with unit_of_work() as session:
        assert roles.role_of(session, row["user_id"]) is None
    lines = client.get("/console/audit", params={"kind": "staff", "format": "json"}).json()["entries"]
    assert [line["change"].partition(": ")[2] for line in lines][:2] == ["role withdrawn", "role granted"]
    assert lines[1]["details"] == "merchandiser"


def test_nobody_takes_the_last_administrator_away_or_makes_one_here(log_in: LogIn) -> None:
    client = log_in("administrator")
    members = client.get("/console/staff", params={"format": "json"}).json()["members"]
    (own,) = [member for member in members if member["own"]]
    assert send_form(client, f"/console/staff/{own['user_id']}/withdraw", {}).status_code == 409
    for fields, status in (
        ({"login": "customer", "role": "administrator"}, 422),
        ({"login": "administrator", "role": "viewer"}, 409),
        ({"login": "nobody-at-all", "role": "viewer"}, 404),
    ):
        assert send_form(client, "/console/staff/grant", fields).status_code == status
    with unit_of_work() as session:
        assert roles.role_of(session, own["user_id"]) is Role.ADMINISTRATOR


def test_the_audit_names_who_made_and_revoked_a_key(client: httpx.Client) -> None:
    with unit_of_work() as session:
        row = api_keys.create(session, "till", ["events"], by="ada").row
        prefix = row.prefix
    send_form(client, f"/console/keys/{prefix}/revoke", {})
    lines = client.get("/console/audit", params={"kind": "keys", "format": "json"}).json()["entries"]
    assert [(line["actor"] == "ada", line["change"], line["details"]) for line in lines] == [
        (False, f"key {prefix} (till) revoked", "events"),
        (True, f"key {prefix} (till) created", "events"),
    ]


def test_the_audit_names_models_jobs_and_their_actors(client: httpx.Client) -> None:
    send_form(client, "/console/jobs/start", {"job": "train"})
    entries = client.get("/console/audit", params={"format": "json"}).json()["entries"]
    assert entries[0]["kind"] == "jobs"
    assert entries[0]["actor"] == "console in development"
    assert {entry["kind"] for entry in entries} == {"jobs", "models"}
    moments = [entry["at"] for entry in entries]
    assert moments == sorted(moments, reverse=True)
    rules = client.get("/console/audit", params={"kind": "rules", "format": "json"}).json()
    assert rules["entries"] == []
    assert "Nothing was changed yet" in client.get("/console/audit", params={"kind": "rules"}).text


def test_the_audit_has_what_administrators_did_to_accounts_and_not_what_customers_did(
    client: httpx.Client, scored_shop: Shop
) -> None:
    with unit_of_work() as session:
        social.block(session, 3, 4)
        administration.block(session, 5, by=7)
        administration.reopen(session, 5, by=8)
    entries = client.get("/console/audit", params={"kind": "staff", "format": "json"}).json()["entries"]
    assert [(entry["change"], entry["actor"]) for entry in entries] == [
        ("user 5: reopen", "user 8"),
        ("user 5: account blocked", "user 7"),
    ]


def test_settings_name_value_and_origin_and_hide_secrets(
    scored_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_PAYMENTS__WEBHOOK_SECRET", "a-secret-of-the-payments")
    monkeypatch.setenv("RECSYS_API__USER_TOKEN_SECRETS", json.dumps(["another-secret-of-tokens"]))
    monkeypatch.setenv("RECSYS_SHOP__CURRENCY", "EUR")
    get_settings.cache_clear()
    with running(create_app()) as client:
        page = client.get("/console/settings")
        content = client.get("/console/settings", params={"format": "json"})
        for text in (page.text, content.text):
            assert "secret-of" not in text
            # the addresses of the servers hold passwords
            assert os.environ["RECSYS_REDIS__URL"] not in text
        rows = {row["variable"]: row for group in content.json()["groups"] for row in group["settings"]}
        assert (rows["RECSYS_SHOP__CURRENCY"]["value"], rows["RECSYS_SHOP__CURRENCY"]["origin"]) == (
            "EUR",
            "environment",
        )
        assert rows["RECSYS_SHOP__CART_DAYS"]["origin"] == "default"
        assert rows["RECSYS_API__USER_TOKEN_SECRETS"]["value"] == "••••••"
        assert len(rows) == content.json()["total"] > 100
        changed = client.get("/console/settings", params={"changed": "true", "format": "json"}).json()
        origins = {row["origin"] for group in changed["groups"] for row in group["settings"]}
        assert origins == {"environment"}
        word = client.get("/console/settings", params={"q": "currency", "format": "json"}).json()
        assert "RECSYS_SHOP__CURRENCY" in json.dumps(word)
        assert "No setting fits" in client.get("/console/settings", params={"q": "xyzzy"}).text
    get_settings.cache_clear()
