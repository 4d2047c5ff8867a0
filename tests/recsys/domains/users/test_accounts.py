"""Accounts: names in any case, passwords, log-ins, and what becomes of who guesses."""

from __future__ import annotations

import pytest

from recsys import security
from recsys.cache import client as cache_client
from recsys.domains.users import service
from recsys.settings import get_settings
from recsys.web.access.guest_sessions import with_signature
from tests.recsys.domains.users.conftest import PASSWORD, Desk


def test_an_account_is_made_logged_in_to_and_read(desk: Desk) -> None:
    ada = desk.person("ada")
    me = desk.call(ada, "GET", "/users/me").json()
    assert (me["id"], me["email"], me["username"], me["is_admin"]) == (
        ada.id,
        "ada@example.org",
        "ada",
        False,
    )
    (stored,) = desk.rows("SELECT password_hash FROM users_db.users WHERE id = %s", ada.id)
    assert str(stored[0]).startswith("$argon2id$")
    kinds = [one["activity_type"] for one in desk.call(ada, "GET", "/users/me/activities").json()["items"]]
    assert kinds == ["login", "register"]


def test_names_are_the_same_in_any_case(desk: Desk) -> None:
    desk.register("Ada", email="Ada.L@Example.ORG")
    desk.register("carl", status=409, username="aDA")
    desk.register("carl", email="ada.l@example.org")
    assert desk.rows("SELECT username FROM users_db.users") == [("ada",)]
    for login in ("ADA", "ada.L@EXAMPLE.org", " ada "):
        assert desk.log_in(login).json()["user_id"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": "no address"},
        {"username": "a b"},
        {"username": "x@y"},
        {"password": "short"},
        {"password": "ada@example.org"},
        {"full_name": "a\u0000b"},
        {"is_admin": True},
    ],
)
def test_a_wrong_registration_is_refused_and_not_repeated(desk: Desk, wrong: dict[str, object]) -> None:
    answer = desk.register("ada", status=422, **wrong)
    assert answer.headers["content-type"] == "application/problem+json"
    assert PASSWORD not in answer.text
    assert desk.rows("SELECT 1 FROM users_db.users") == []


def test_every_log_in_that_fails_says_the_same(desk: Desk) -> None:
    desk.register("ada")
    closed = desk.person("closed")
    desk.call(closed, "POST", "/users/me/deactivate", status=204, json={"password": PASSWORD})
    with desk.shop.connect() as connection:
        connection.execute(
            "INSERT INTO users_db.users (email, username, full_name, password_hash) "
            "VALUES ('i@example.invalid', 'imported', 'I', '!')"
        )
    answers = [
        desk.log_in("ada", password="wrong", status=401),
        desk.log_in("nobody", status=401),
        desk.log_in("imported", password="!", status=401),
        desk.log_in("closed", status=401),
    ]
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert answers[0].headers["www-authenticate"] == "Bearer"


def test_every_failing_log_in_costs_one_hash(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.register("ada")
    work: list[str] = []
    for name in ("verify_password", "verify_nobody"):
        real = getattr(service, name)
        monkeypatch.setattr(
            service, name, lambda *given, name=name, real=real: (work.append(name), real(*given))[1]
        )
    desk.log_in("ada", password="wrong", status=401)
    desk.log_in("nobody", status=401)
    assert work == ["verify_password", "verify_nobody"]


def test_a_hash_of_old_parameters_is_replaced(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = desk.account("ada")
    query = "SELECT password_hash FROM users_db.users WHERE id = %s"
    before = desk.rows(query, ada)
    desk.log_in("ada")
    assert desk.rows(query, ada) == before
    monkeypatch.setenv("RECSYS_USERS__ARGON2_TIME_COST", "2")
    get_settings.cache_clear()
    desk.log_in("ada")
    ((after,),) = desk.rows(query, ada)
    assert "t=2" in str(after)
    assert security.verify_password(str(after), PASSWORD) == security.Verified(ok=True, rehash=False)
    desk.log_in("ada")


@pytest.mark.parametrize("redis_is_there", [True, False])
def test_guessing_is_slowed_down_with_redis_and_without(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, redis_is_there: bool
) -> None:
    name = f"ada-{redis_is_there}".lower()
    desk.register(name)
    if not redis_is_there:
        monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("RECSYS_USERS__FAILURES_PER_ACCOUNT", "3")
    get_settings.cache_clear()
    cache_client.close()
    desk.log_in(name, password="wrong", status=401)
    desk.log_in(name)  # a log-in that works takes the failures away, and works without Redis
    for _ in range(3):
        desk.log_in(name, password="wrong", status=401)
    answer = desk.log_in(name, status=429)
    assert int(answer.headers["retry-after"]) > 0
    desk.log_in(f"other-{name}", status=401)  # another account is not slowed down by this one


def test_an_address_is_slowed_down_whatever_accounts_it_tries(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.register("ada")
    monkeypatch.setenv("RECSYS_USERS__FAILURES_PER_ADDRESS", "3")
    get_settings.cache_clear()
    for number in range(3):
        desk.log_in(f"guess{number}", status=401)
        desk.log_in("ada", status=200 if number < 2 else 429)


def test_another_password_ends_the_other_sessions(desk: Desk) -> None:
    ada = desk.person("ada")
    other = desk.again(ada)
    wanted = {"current_password": "wrong", "new_password": "another long one"}
    desk.call(ada, "PUT", "/users/me/password", status=401, json=wanted)
    desk.call(ada, "PUT", "/users/me/password", status=204, json={**wanted, "current_password": PASSWORD})
    desk.call(ada, "GET", "/users/me")
    desk.call(other, "GET", "/users/me", status=401)
    assert len(desk.agree(ada.id)) == 1
    desk.log_in("ada", status=401)
    desk.log_in("ada", password="another long one")


def test_a_closed_account_is_gone_for_everybody(desk: Desk) -> None:
    ada, bob = desk.person("ada"), desk.person("bob")
    desk.call(bob, "GET", f"/users/{ada.id}")
    desk.call(ada, "POST", "/users/me/deactivate", status=204, json={"password": PASSWORD})
    desk.call(ada, "GET", "/users/me", status=401)
    desk.call(bob, "GET", f"/users/{ada.id}", status=404)
    desk.call(bob, "GET", "/users/by-username/ada", status=404)
    assert desk.agree(ada.id) == set()
    assert desk.redis.sismember("online_users", str(ada.id)) == 0


def test_a_guests_session_is_handed_over_in_the_log_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = desk.account("ada")
    logins: list[tuple[str, int]] = []
    monkeypatch.setattr(service, "_at_login", [lambda _, guest, user: logins.append((guest, user))])
    desk.log_in("ada", X_Session_Id=with_signature("guest-7"))
    desk.log_in("ada")
    assert logins == [("guest-7", ada)]


def test_a_guests_views_are_the_users_at_once(desk: Desk) -> None:
    ada = desk.account("ada")
    with desk.shop.connect() as connection:
        connection.execute("INSERT INTO products_db.products (id, name, slug, price) VALUES (1, 'P', 'p', 1)")
        connection.execute(
            "INSERT INTO products_db.product_view_history (product_id, session_id) VALUES (1, 'g'), (1, 'h')"
        )
    query = "SELECT session_id, user_id FROM products_db.product_view_history ORDER BY id"
    desk.log_in("ada", password="wrong", status=401, X_Session_Id=with_signature("g"))
    assert desk.rows(query) == [("g", None), ("h", None)]
    desk.log_in("ada", X_Session_Id=with_signature("g"))
    assert desk.rows(query) == [("g", ada), ("h", None)]
