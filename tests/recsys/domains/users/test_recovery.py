"""One-time tokens by e-mail, notices of changes, limits on mails, and accounts for administrators."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from recsys.settings import get_settings
from tests.journeys.conftest import Counter, counter
from tests.recsys.domains.users.conftest import PASSWORD, statements

__all__ = ["counter"]

NEW = "another long sentence"
RESET, CONFIRM = "/auth/password-reset", "/auth/password-reset/confirm"


def code_of_last_mail(counter: Counter, to: str) -> str:
    counter.settle_events()
    text = counter.one(
        "SELECT body_text FROM notifications_db.outgoing_messages o JOIN notifications_db.email_logs l "
        "ON l.id = o.email_log_id WHERE l.to_email = %s ORDER BY o.id DESC LIMIT 1",
        to,
    )
    found = re.search(r"code: (\S+)", text)
    assert found is not None, text
    return found[1]


def subjects(counter: Counter, to: str) -> list[str]:
    counter.settle_events()
    rows = counter.desk.rows(
        "SELECT subject FROM notifications_db.email_logs WHERE to_email = %s ORDER BY id", to
    )
    return [str(subject) for (subject,) in rows]


def test_a_code_resets_a_password_once_however_many_send_it(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    counter.send("POST", RESET, json={"email": "ADA@example.org"}, status=202)
    counter.send("POST", RESET, json={"email": "nobody@example.org"}, status=202)
    code = code_of_last_mail(counter, "ada@example.org")
    stored = counter.desk.rows("SELECT token_hash FROM users_db.account_tokens")
    assert code not in str(stored)
    assert code not in str(counter.desk.rows("SELECT o::text FROM analytics_db.outbox o"))
    body = {"token": code, "new_password": NEW}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: counter.desk.client.post(f"/api/v1{CONFIRM}", json=body).status_code, range(8))
        )
    assert sorted(answers) == [204, *[422] * 7]
    counter.desk.log_in("ada", status=401)
    counter.desk.log_in("ada", password=NEW)
    counter.desk.call(ada, "GET", "/users/me", status=401)
    assert subjects(counter, "ada@example.org")[-1] == "Your password was changed"


def test_a_code_expires_and_is_of_one_purpose(counter: Counter) -> None:
    counter.desk.register("ada")
    counter.send("POST", RESET, json={"email": "ada@example.org"}, status=202)
    code = code_of_last_mail(counter, "ada@example.org")
    counter.send("POST", "/auth/confirm-email", json={"token": code}, status=422)
    counter.desk.rows("UPDATE users_db.account_tokens SET expires_at = now() RETURNING id")
    counter.send("POST", CONFIRM, json={"token": code, "new_password": NEW}, status=422)
    counter.desk.log_in("ada")


def test_an_account_waits_for_its_address_where_the_setting_says_so(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_USERS__CONFIRM_EMAIL", "true")
    get_settings.cache_clear()
    counter.desk.register("ada", full_name="BUY CHEAP PILLS")
    counter.desk.log_in("ada", status=403)
    assert subjects(counter, "ada@example.org") == ["Confirm your e-mail address"]
    counter.send(
        "POST",
        "/auth/confirm-email",
        json={"token": code_of_last_mail(counter, "ada@example.org")},
        status=204,
    )
    token = counter.desk.log_in("ada").json()["token"]
    change = {"email": "new@example.org", "password": PASSWORD}
    headers = {"Authorization": f"Bearer {token}"}
    me = counter.send("PUT", "/users/me/email", json=change, **headers)
    assert me["email"] == "ada@example.org"
    counter.send(
        "POST",
        "/auth/confirm-email",
        json={"token": code_of_last_mail(counter, "new@example.org")},
        status=204,
    )
    assert counter.send("GET", "/users/me", **headers)["email"] == "new@example.org"
    assert subjects(counter, "ada@example.org")[-1] == "Your e-mail address was changed"


def test_mails_are_limited_by_address_and_recipient(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_USERS__MAILS_PER_ADDRESS", "6")
    monkeypatch.setenv("RECSYS_NOTIFICATIONS__MAILS_PER_RECIPIENT", "2")
    get_settings.cache_clear()
    counter.redis.flushdb()
    counter.desk.register("ada", full_name="BUY CHEAP PILLS")
    for _ in range(5):
        counter.send("POST", RESET, json={"email": "ada@example.org"}, status=202)
        counter.settle_events()
    counter.send("POST", RESET, json={"email": "ada@example.org"}, status=429)
    counter.desk.register("bob", status=429)
    sent = counter.desk.rows(
        "SELECT status FROM notifications_db.email_logs WHERE to_email = 'ada@example.org'"
    )
    # the welcome, and two codes: others' requests use up no budget but that of codes
    assert [status for (status,) in sent].count("queued") == 3
    queued = (
        "SELECT count(*) FROM notifications_db.outgoing_messages o "
        "JOIN notifications_db.email_logs l ON l.id = o.email_log_id WHERE l.to_email = 'ada@example.org'"
    )
    assert counter.one(queued) == 3
    assert "PILLS" not in str(counter.desk.rows("SELECT subject FROM notifications_db.email_logs"))


def _codes(counter: Counter, to: str) -> list[str]:
    counter.settle_events()
    rows = counter.desk.rows(
        "SELECT body_text FROM notifications_db.outgoing_messages o JOIN notifications_db.email_logs l "
        "ON l.id = o.email_log_id WHERE l.to_email = %s AND body_text LIKE '%%password%%' ORDER BY o.id",
        to,
    )
    return [found[1] for (text,) in rows if (found := re.search(r"code: (\S+)", str(text)))]


def test_a_strangers_requests_make_no_code_of_the_owner_void(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_NOTIFICATIONS__MAILS_PER_RECIPIENT", "3")
    get_settings.cache_clear()
    counter.desk.register("ada")
    for _ in range(6):
        counter.send("POST", RESET, json={"email": "ada@example.org"}, status=202)
        counter.settle_events()
    codes = _codes(counter, "ada@example.org")
    # beyond the budget none is made, so that the owner has some that are valid
    assert len(codes) == 3
    assert counter.one("SELECT count(*) FROM users_db.account_tokens") == 3
    counter.send("POST", CONFIRM, json={"token": codes[0], "new_password": NEW}, status=204)
    for code in codes:
        counter.send("POST", CONFIRM, json={"token": code, "new_password": "a third sentence"}, status=422)
    # notices of changes are not among what others can use up
    assert subjects(counter, "ada@example.org")[-1] == "Your password was changed"


def test_a_request_for_a_code_asks_the_same_of_postgresql_for_any_address(counter: Counter) -> None:
    counter.desk.register("ada")
    asked = []
    for email in ("ada@example.org", "nobody@example.org"):
        with statements() as seen:
            answer = counter.desk.client.post(f"/api/v1{RESET}", json={"email": email})
        # the savepoint is kept or given up
        asked.append([statement.replace("ROLLBACK TO", "RELEASE") for statement in seen])
        assert (answer.status_code, answer.json()) == (202, None)
    assert asked[0] == asked[1]
    assert counter.one("SELECT count(*) FROM analytics_db.outbox WHERE name LIKE '%%token%%'") == 1


def test_failed_attempts_of_others_do_not_lock_out_the_owners_device(counter: Counter) -> None:
    counter.desk.register("ada")
    body = {"login": "ada", "password": PASSWORD}
    client = counter.desk.client
    device = client.post("/api/v1/auth/login", json=body).cookies["recsys_device"]
    client.cookies.clear()
    # the e-mail address and the username are one account
    for number in range(10):
        counter.desk.log_in(("ada", "ada@example.org")[number % 2], password="wrong", status=401)
    counter.desk.log_in("ada", status=429)
    counter.desk.log_in("ada@example.org", status=429)
    known = client.post("/api/v1/auth/login", json=body, headers={"Cookie": f"recsys_device={device}"})
    client.cookies.clear()
    assert known.status_code == 200
    # another account's device is nobody's here
    counter.desk.register("eve")
    foreign = client.post("/api/v1/auth/login", json={**body, "login": "eve"}).cookies["recsys_device"]
    client.cookies.clear()
    refused = client.post("/api/v1/auth/login", json=body, headers={"Cookie": f"recsys_device={foreign}"})
    client.cookies.clear()
    assert refused.status_code == 429


def test_administrators_list_block_demote_and_delete(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    admin, path = counter.admin, f"/admin/users/{ada.id}"
    listed = counter.send("GET", "/admin/users?prefix=ada", who=admin)["items"]
    assert [one["id"] for one in listed] == [ada.id]
    assert "password" not in str(listed)
    counter.send("POST", f"{path}/block", who=admin, status=204)
    counter.desk.call(ada, "GET", "/users/me", status=401)
    counter.desk.log_in("ada", status=401)
    assert len(counter.send("GET", "/admin/users?status=closed", who=admin)["items"]) == 1
    counter.send("POST", f"{path}/reopen", who=admin, status=204)
    counter.desk.log_in("ada")
    for action in ("block", "demote"):
        counter.send("POST", f"/admin/users/{admin.id}/{action}", who=admin, status=409)
    counter.desk.rows("UPDATE users_db.users SET is_admin = true WHERE id = %s RETURNING id", ada.id)
    counter.send("POST", f"{path}/demote", who=admin, status=204)
    assert counter.one("SELECT is_admin FROM users_db.users WHERE id = %s", ada.id) is False
    counter.send("DELETE", f"/admin/users/{admin.id}", who=admin, status=409)
    receipt = counter.send("DELETE", path, who=admin)
    assert receipt["requested_by"] == f"user {admin.id}"
    counter.send("DELETE", path, who=admin)
    counter.send("DELETE", "/admin/users/2000000000", who=admin, status=404)
    assert counter.desk.rows("SELECT id FROM users_db.user_sessions WHERE user_id = %s", ada.id) == []
