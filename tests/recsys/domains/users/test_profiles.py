"""Profiles and their caches: no stale value is served, also after a fill at the wrong moment."""

from __future__ import annotations

import threading

import pytest

from recsys.cache import client as cache_client
from recsys.database.session import unit_of_work
from recsys.domains.users import cache, profiles
from recsys.domains.users.schemas import ProfileIn
from recsys.settings import get_settings
from tests.recsys.domains.users.conftest import PASSWORD, Desk


def test_a_profile_is_changed_where_it_is_sent_and_nowhere_else(desk: Desk) -> None:
    ada = desk.person("ada")
    me = desk.call(ada, "PATCH", "/users/me", json={"bio": "I count", "phone": "+44 20 1234"}).json()
    assert (me["bio"], me["phone"], me["full_name"]) == ("I count", "+44 20 1234", "Ada")
    me = desk.call(ada, "PATCH", "/users/me", json={"phone": None, "full_name": "A. L."}).json()
    assert (me["bio"], me["phone"], me["full_name"]) == ("I count", None, "A. L.")
    for wrong in (
        {"is_admin": True},
        {"full_name": None},
        {"date_of_birth": "2999-01-01"},
        {"email": "x@y.z"},
    ):
        desk.call(ada, "PATCH", "/users/me", status=422, json=wrong)


@pytest.mark.parametrize("what", ["settings", "preferences"])
def test_settings_and_preferences_are_kept(desk: Desk, what: str) -> None:
    ada = desk.person("ada")
    assert desk.call(ada, "GET", f"/users/me/{what}").json() == {}
    wanted = {"language": "en", "sizes": [1, 2.5], "more": {"theme": "dark"}}
    assert desk.call(ada, "PUT", f"/users/me/{what}", json=wanted).json() == wanted
    assert desk.call(ada, "GET", f"/users/me/{what}").json() == wanted
    deep: dict[str, object] = {}
    for _ in range(20):
        deep = {"a": deep}
    for wrong in (deep, {"a": "\x00"}, {"a": 2**70}, {str(one): one for one in range(300)}, [1]):
        desk.call(ada, "PUT", f"/users/me/{what}", status=422, json=wrong)


def test_caches_are_of_the_documented_types_and_follow_every_change(desk: Desk) -> None:
    ada, bob = desk.person("ada"), desk.person("bob")
    assert desk.call(bob, "GET", "/users/by-username/ADA").json()["full_name"] == "Ada"
    assert desk.redis.type(f"user:{ada.id}") == b"hash"
    assert desk.redis.get("user:username:ada") == str(ada.id).encode()
    desk.log_in("ada@example.org")
    assert desk.redis.get("user:email:ada@example.org") == str(ada.id).encode()
    desk.call(ada, "PATCH", "/users/me", json={"username": "Lovelace", "bio": "new"})
    assert desk.call(bob, "GET", f"/users/{ada.id}").json()["bio"] == "new"
    desk.call(bob, "GET", "/users/by-username/ada", status=404)
    assert desk.call(bob, "GET", "/users/by-username/lovelace").json()["id"] == ada.id
    desk.call(bob, "PATCH", "/users/me", status=409, json={"username": "LOVELACE"})
    desk.call(bob, "PATCH", "/users/me", json={"username": "ada"})
    assert desk.call(bob, "GET", "/users/by-username/ada").json()["id"] == bob.id
    wanted = {"email": "a@example.net", "password": PASSWORD}
    desk.call(ada, "PUT", "/users/me/email", json=wanted)
    desk.log_in("ada@example.org", status=401)
    assert desk.log_in("A@example.net").json()["user_id"] == ada.id
    desk.call(bob, "PUT", "/users/me/email", status=409, json=wanted)


def test_a_change_while_redis_is_away_is_made_good_by_the_event(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys.domains.users.handlers import forget_changed
    from recsys.events.vocabulary import ProfileUpdated

    ada = desk.person("ada")
    desk.call(ada, "GET", f"/users/{ada.id}")
    url = get_settings().redis.url
    assert url is not None
    monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1/0")
    get_settings.cache_clear()
    cache_client.close()
    desk.call(ada, "PATCH", "/users/me", json={"bio": "changed"})
    monkeypatch.setenv("RECSYS_REDIS__URL", url.get_secret_value())
    get_settings.cache_clear()
    cache_client.close()

    class ProfileEnvelope:
        event = ProfileUpdated(user_id=ada.id, changed=("bio",))

    with unit_of_work() as session:
        forget_changed(session, ProfileEnvelope())  # type: ignore[arg-type]
    assert desk.call(ada, "GET", f"/users/{ada.id}").json()["bio"] == "changed"


def test_a_reader_between_change_and_commit_fills_nothing_old(desk: Desk) -> None:
    ada = desk.person("ada")
    with unit_of_work() as writer:
        profiles.change(writer, ada.id, ProfileIn(bio="new", username="lovelace"))
        # in a thread of its own, since one thread has one unit of work
        seen = _in_a_thread(lambda: _profile(ada.id))
        assert seen["bio"] is None  # not committed yet: the old row is right, but must not stay
        assert desk.redis.exists(f"user:{ada.id}") == 0
        assert _in_a_thread(lambda: _id("ada")) == ada.id
        assert desk.redis.exists("user:username:ada") == 0
    assert _profile(ada.id)["bio"] == "new"
    assert _id("ada") is None


def test_a_slow_reader_holds_the_writer_back_until_it_has_filled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = desk.person("ada")
    has_read, may_fill = threading.Event(), threading.Event()
    real = cache._fill_profile

    def slowly(key: str, shown: dict[str, object]) -> None:
        has_read.set()
        assert may_fill.wait(20)
        real(key, shown)

    monkeypatch.setattr(cache, "_fill_profile", slowly)
    reader = threading.Thread(target=_profile, args=(ada.id,))
    reader.start()
    assert has_read.wait(20)
    monkeypatch.setattr(cache, "_fill_profile", real)
    written = threading.Event()

    def write() -> None:
        with unit_of_work() as session:
            profiles.change(session, ada.id, ProfileIn(bio="new"))
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert not written.wait(0.3)
    may_fill.set()  # with the old row, which it read before the change
    reader.join()
    writer.join()
    assert _profile(ada.id)["bio"] == "new"


def _profile(user_id: int) -> dict[str, object]:
    with unit_of_work() as session:
        found = cache.profile(session, user_id)
    assert found is not None
    return found


def _id(username: str) -> int | None:
    with unit_of_work() as session:
        return cache.id_by_username(session, username)


def _in_a_thread(work):  # type: ignore[no-untyped-def]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
