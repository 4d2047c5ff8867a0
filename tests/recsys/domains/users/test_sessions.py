"""Sessions: table, set and hashes agree after whatever happens, and PostgreSQL decides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from recsys import clock
from recsys.cache import client as cache_client
from recsys.database.session import unit_of_work
from recsys.domains.users import presence, sessions
from recsys.security import token_id
from recsys.settings import get_settings
from tests.recsys.domains.users.conftest import Desk


def test_the_three_places_agree_after_each_step(desk: Desk) -> None:
    ada = desk.person("ada")
    assert desk.agree(ada.id) == {token_id(ada.token)}
    second, third = desk.again(ada), desk.again(ada)
    assert len(desk.agree(ada.id)) == 3
    listed = desk.call(third, "GET", "/users/me/sessions").json()["items"]
    assert [one["current"] for one in listed].count(True) == 1
    (mine,) = [one["id"] for one in listed if one["current"]]
    desk.call(second, "DELETE", f"/users/me/sessions/{mine}", status=204)
    desk.call(third, "GET", "/users/me", status=401)
    assert desk.agree(ada.id) == {token_id(ada.token), token_id(second.token)}
    desk.call(second, "DELETE", "/users/me/sessions", status=204)
    assert desk.agree(ada.id) == {token_id(second.token)}
    assert desk.redis.sismember("online_users", str(ada.id)) == 1
    desk.call(second, "POST", "/auth/logout", status=204)
    assert desk.agree(ada.id) == set()
    assert desk.redis.sismember("online_users", str(ada.id)) == 0
    desk.call(second, "GET", "/users/me", status=401)


def test_only_a_hash_of_the_token_is_kept(desk: Desk) -> None:
    ada = desk.person("ada")
    kept = list(desk.redis.scan_iter("*"))
    assert desk.rows("SELECT session_id FROM users_db.user_sessions") == [(token_id(ada.token),)]
    assert not any(ada.token.encode() in key for key in kept)
    # what is stored is no key to the door
    stored = {"Authorization": f"Bearer {token_id(ada.token)}"}
    assert desk.client.get("/api/v1/users/me", headers=stored).status_code == 401


def test_a_flushed_redis_is_filled_again_and_lets_nobody_in_or_out(desk: Desk) -> None:
    ada = desk.person("ada")
    gone = desk.again(ada)
    desk.call(gone, "POST", "/auth/logout", status=204)
    desk.redis.flushall()
    desk.call(gone, "GET", "/users/me", status=401)
    desk.call(ada, "GET", "/users/me")
    assert desk.agree(ada.id) == {token_id(ada.token)}


def test_what_redis_alone_says_opens_no_door(desk: Desk) -> None:
    ada = desk.person("ada")
    key = f"session:{token_id(ada.token)}"
    before = desk.redis.hgetall(key)
    desk.call(ada, "POST", "/auth/logout", status=204)
    desk.redis.hset(key, mapping=before)  # as if Redis had been away during the log-out
    desk.redis.sadd(f"session:user:{ada.id}", token_id(ada.token))
    desk.call(ada, "GET", "/users/me", status=401)
    desk.log_in("ada")
    assert len(desk.agree(ada.id)) == 1


def test_sessions_work_while_redis_is_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1/0")
    get_settings.cache_clear()
    cache_client.close()
    ada = desk.person("ada")
    desk.call(ada, "GET", "/users/me")
    desk.call(ada, "POST", "/auth/logout", status=204)
    desk.call(ada, "GET", "/users/me", status=401)


def test_an_expired_session_and_a_silent_user_are_gone(desk: Desk) -> None:
    ada = desk.person("ada")
    with clock.frozen_at(clock.now() + timedelta(minutes=10)):
        with unit_of_work() as session:
            assert presence.sweep(session) == 1
        assert desk.redis.smembers("online_users") == set()
        assert desk.rows("SELECT is_online FROM users_db.users") == [(False,)]
        desk.call(ada, "GET", "/users/me")
        assert desk.redis.sismember("online_users", str(ada.id)) == 1
    with clock.frozen_at(clock.now() + timedelta(days=31)):
        desk.call(ada, "GET", "/users/me", status=401)


def test_too_many_devices_end_the_one_that_was_silent_longest(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_USERS__MAX_SESSIONS", "2")
    get_settings.cache_clear()
    first = desk.person("ada")
    second, third = desk.again(first), desk.again(first)
    assert desk.agree(first.id) == {token_id(second.token), token_id(third.token)}
    desk.call(first, "GET", "/users/me", status=401)


def test_log_ins_and_log_outs_at_once_leave_all_in_agreement(desk: Desk) -> None:
    ada = desk.person("ada")
    people = [desk.again(ada) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        done = [
            *(pool.submit(desk.log_in, "ada") for _ in range(6)),
            *(pool.submit(desk.call, one, "POST", "/auth/logout", status=204) for one in people),
        ]
        for one in done:
            one.result()
    assert len(desk.agree(ada.id)) == 7


def test_one_change_of_a_users_sessions_waits_for_the_other(desk: Desk) -> None:
    ada = desk.person("ada")
    with ThreadPoolExecutor(1) as pool:
        with unit_of_work() as session:
            assert sessions.end_all(session, ada.id) == 1
            second = pool.submit(desk.log_in, "ada")
            with pytest.raises(TimeoutError):
                second.result(0.3)
        token = second.result().json()["token"]
    assert desk.agree(ada.id) == {token_id(token)}


def test_an_ended_session_is_not_mirrored_again_by_a_request_on_its_way(desk: Desk) -> None:
    ada = desk.person("ada")
    desk.redis.flushall()
    with unit_of_work() as session:
        sessions.end_all(session, ada.id)
        # the row is still there for others; nobody is kept waiting, and nothing is written back
        with ThreadPoolExecutor(1) as pool:
            pool.submit(desk.call, ada, "GET", "/users/me").result()
        assert desk.redis.exists(f"session:{token_id(ada.token)}") == 0
    assert desk.agree(ada.id) == set()


def test_a_token_is_taken_from_header_or_cookie(desk: Desk) -> None:
    desk.register("ada")
    answer = desk.client.post(
        "/api/v1/auth/login", json={"login": "ada", "password": "correct horse battery"}
    )
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert answer.headers["cache-control"] == "no-store"
    me = "/api/v1/users/me"
    assert desk.client.get(me).status_code == 200  # the cookie
    assert desk.client.get(me, headers={"Authorization": "Bearer no"}).status_code == 401
    assert desk.client.get(me, headers={"Authorization": "Basic eDp5"}).status_code == 401
    desk.client.cookies.clear()
    assert desk.client.get(me, headers={"Authorization": "Bearer " + "x" * 5000}).status_code == 401
