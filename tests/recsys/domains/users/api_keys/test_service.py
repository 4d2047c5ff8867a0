"""API keys: what is kept of them, what opens, and how soon a revoked one does not."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import dispose_engines, unit_of_work
from recsys.domains.users.api_keys import api_key_cache
from recsys.domains.users.api_keys import service as api_keys
from recsys.domains.users.api_keys.api_key_cache import Granted, Key, KeyRing, RefusedKey, Why
from recsys.errors import Conflict, Invalid, NotFound, Unavailable
from recsys.security import token_id
from recsys.settings import get_settings
from tests.support.shop import Shop

GOOD = "rk_abcd1234_" + "s" * 43
STORED = Key(7, "shop", "abcd1234", token_id(GOOD), frozenset({"events"}), float("inf"), None)


def _ring(*stored: Key) -> KeyRing:
    """A ring that knows these keys, without PostgreSQL."""
    ring = KeyRing()
    ring._keys = {one.prefix: one for one in stored}
    return ring


def _make(*scopes: str, **options: float) -> str:
    with unit_of_work() as session:
        return api_keys.create(session, "shop", scopes or ("recommend",), by="tests", **options).key


def test_only_a_hash_is_kept(shop: Shop) -> None:
    made = [_make("events", "recommend") for _ in range(5)]
    assert len(set(made)) == 5
    with shop.connect() as connection:
        row = connection.execute("SELECT to_jsonb(k)::text FROM users_db.api_keys AS k").fetchall()
    for key, (stored,) in zip(made, row, strict=True):
        prefix, secret = api_keys.prefix_of(key), key.rpartition("_")[2]
        assert prefix is not None
        assert len(secret) == 43
        assert secret not in stored
        assert json.loads(stored)["hash"] == token_id(key)
        assert json.loads(stored)["prefix"] == prefix
        assert json.loads(stored)["scopes"] == ["recommend", "events"]


def test_what_cannot_be_is_refused_and_nothing_stored(session: Session) -> None:
    wrong: list[tuple[str, list[str], dict[str, float]]] = [
        ("a", [], {}),
        ("a", ["root"], {}),
        ("a", ["events", "root"], {}),
        (" ", ["events"], {}),
        ("x" * 101, ["events"], {}),
        ("a\nb", ["events"], {}),
        ("a", ["events"], {"expires_days": 0}),
        ("a", ["events"], {"expires_days": float("nan")}),
        ("a", ["events"], {"expires_days": 1e300}),
        ("a", ["events"], {"rate_per_second": -1}),
        ("a", ["events"], {"rate_per_second": float("inf")}),
    ]
    for name, scopes, options in wrong:
        with pytest.raises(Invalid):
            api_keys.create(session, name, scopes, by="tests", **options)
    assert api_keys.listed(session) == []
    assert "rk_" not in repr(api_keys.create(session, "a", ["admin"], by="tests"))


def test_a_key_is_revoked_by_prefix_name_or_itself(session: Session) -> None:
    one, other = (api_keys.create(session, "shop", ["events"], by="tests") for _ in range(2))
    with pytest.raises(Conflict, match=f"{one.row.prefix}, {other.row.prefix}"):
        api_keys.revoke(session, "shop", by="tests")
    assert api_keys.revoke(session, one.key, by="tests").id == one.row.id
    first = one.row.revoked_at
    assert api_keys.revoke(session, one.row.prefix, by="tests").revoked_at == first
    assert [key.id for key in api_keys.active(session)] == [other.row.id]
    assert api_keys.revoke(session, "shop", by="tests").id == other.row.id
    assert not api_keys.any_active(session)
    with pytest.raises(NotFound):
        api_keys.revoke(session, "nobodys", by="tests")


def test_the_ring_opens_what_a_scope_opens_until_the_key_ends(shop: Shop) -> None:
    ring = KeyRing()
    key = _make("events", expires_days=1)
    assert ring.check(key, "events") == RefusedKey(Why.NOT_READY)
    ring.refresh()
    assert isinstance(ring.check(key, "events"), Granted)
    assert isinstance(ring.check(key.encode(), "events"), Granted)
    assert ring.check(key, "admin") == RefusedKey(Why.SCOPE)
    with clock.frozen_at(clock.now() + timedelta(days=1, seconds=1)):
        assert ring.check(key, "events") == RefusedKey(Why.EXPIRED)
        ring.refresh()  # no longer among those that PostgreSQL tells
        assert ring.check(key, "events") == RefusedKey(Why.UNKNOWN)
    ring.refresh()
    with unit_of_work() as session:
        api_keys.revoke(session, key, by="tests")
    ring.refresh()
    assert ring.check(key, "events") == RefusedKey(Why.UNKNOWN)


def test_a_ring_outlives_an_outage_of_postgresql(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    ring, key = KeyRing(), _make("events")
    ring.refresh()
    monkeypatch.setenv("RECSYS_DATABASE__URL", "postgresql://nobody@127.0.0.1:1/shop")
    dispose_engines()
    get_settings.cache_clear()
    with pytest.raises(Unavailable):
        ring.refresh()
    assert isinstance(ring.check(key, "events"), Granted)


def test_the_background_hears_of_new_and_revoked_keys(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_key_cache, "REFRESH_SECONDS", 0.02)
    ring = KeyRing()

    async def until(key: str, wanted: bool) -> None:
        while isinstance(ring.check(key, "recommend"), Granted) is not wanted:
            await asyncio.sleep(0.01)

    async def live() -> None:
        async with ring.kept_fresh():
            key = await asyncio.to_thread(_make)
            await until(key, True)
            with unit_of_work() as session:
                api_keys.revoke(session, key, by="tests")
            await until(key, False)

    asyncio.run(asyncio.wait_for(live(), 20))


def test_the_use_of_a_key_is_noted_seldom(shop: Shop) -> None:
    ring, key = KeyRing(), _make()
    idle = _make()
    ring.refresh()
    start = clock.now()
    seen = []
    for seconds in (0, 1, 59, 61, 62, 130):
        with clock.frozen_at(start + timedelta(seconds=seconds)):
            ring.check(key, "recommend")
            ring.refresh()
            with unit_of_work() as session:
                rows = {row.prefix: row.last_used_at for row in api_keys.listed(session)}
        moment = rows[api_keys.prefix_of(key) or ""]
        assert moment is not None
        seen.append((moment - start).total_seconds())
        assert rows[api_keys.prefix_of(idle) or ""] is None
    assert seen == [0, 0, 0, 61, 61, 130]


def test_revoking_while_it_is_used(shop: Shop) -> None:
    ring, key = KeyRing(), _make()
    ring.refresh()
    stop = threading.Event()
    odd: list[object] = []

    def use() -> None:
        while not stop.is_set():
            found = ring.check(key, "recommend")
            if not isinstance(found, Granted) and found.why is not Why.UNKNOWN:
                odd.append(found)

    def read() -> None:
        for _ in range(20):
            ring.refresh()

    with ThreadPoolExecutor(4) as pool:
        users = [pool.submit(use) for _ in range(2)]
        readers = [pool.submit(read) for _ in range(2)]
        with unit_of_work() as session:
            api_keys.revoke(session, key, by="tests")
        for one in readers:
            one.result()
        stop.set()
        for one in users:
            one.result()
    assert odd == []
    ring.refresh()
    assert ring.check(key, "recommend") == RefusedKey(Why.UNKNOWN)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=100).map(lambda text: f"rk_{text}"), st.text()))
def test_what_is_no_key_opens_nothing(raw: str | bytes) -> None:
    assert _ring(STORED).check(raw, "events") == RefusedKey(Why.UNKNOWN)


@given(st.integers(0, len(GOOD) - 1), st.characters(codec="latin-1"))
def test_one_wrong_character_is_enough(place: int, wrong: str) -> None:
    near = GOOD[:place] + wrong + GOOD[place + 1 :]
    found = _ring(STORED).check(near, "events")
    assert isinstance(found, Granted) is (near == GOOD)
    for more in (GOOD + wrong, wrong + GOOD, GOOD[:place] + GOOD[place + 1 :]):
        assert isinstance(_ring(STORED).check(more, "events"), RefusedKey)


def test_hashes_are_compared_in_constant_time_also_where_no_key_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(api_key_cache, "compare_digest", compare)
    ring = _ring(STORED)
    unknown = GOOD.replace("abcd1234", "zzzz9999")
    wrong = GOOD[:-1] + "x"
    assert [isinstance(ring.check(key, "events"), Granted) for key in (GOOD, wrong, unknown)] == [
        True,
        False,
        False,
    ]
    assert compared == [
        (token_id(GOOD), STORED.hash),
        (token_id(wrong), STORED.hash),
        (token_id(unknown), "0" * 64),
    ]
    assert GOOD not in repr(STORED)
    assert STORED.hash not in repr(STORED)


def test_the_commands(shop: Shop) -> None:
    made = shop.run("keys", "create", "web shop", "--scope", "events", "--scope", "recommend", "--rate", "5")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    prefix = api_keys.prefix_of(key)
    assert prefix is not None
    assert prefix in made.stderr
    assert key not in made.stderr
    as_json = json.loads(
        shop.run("keys", "create", "b", "--scope", "admin", "--expires-days", "2", "--json").stdout
    )
    assert as_json["scopes"] == ["admin"]
    assert api_keys.prefix_of(as_json["key"]) == as_json["prefix"]
    gone = shop.run("keys", "revoke", "web shop", "--json")
    assert json.loads(gone.stdout)["state"] == "revoked"
    listed = shop.run("keys", "list", "--json")
    assert [(one["name"], one["state"], one["rate_per_second"]) for one in json.loads(listed.stdout)] == [
        ("web shop", "revoked", 5.0),
        ("b", "active", None),
    ]
    shown = shop.run("keys", "list")
    for output in (listed.stdout, shown.stdout, gone.stdout):
        assert prefix in output
        assert key.rpartition("_")[2] not in output
        assert as_json["key"].rpartition("_")[2] not in output
    wrong = shop.run("keys", "create", "c", "--scope", "root")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "recommend, events, admin" in wrong.stderr
    assert shop.run("keys", "revoke", "nobodys").returncode == 2


def test_each_change_of_a_key_has_its_author(shop: Shop) -> None:
    with unit_of_work() as session:
        secret = api_keys.create(session, "till", ["events"], by="ada")
        page = api_keys.publish(session, "page", ["https://shop.example"], by="user 1")
        api_keys.rotate(session, "page", by="bob")
        api_keys.revoke(session, "till", by="user 2")
        api_keys.revoke(session, "till", by="user 3")  # it is revoked: nothing changes
    with unit_of_work() as session:
        changes = [
            (key.prefix, change.action, change.actor)
            for change, key in api_keys.latest_changes(session, limit=10)
        ]
    assert changes == [
        (secret.row.prefix, "revoked", "user 2"),
        (page.row.prefix, "rotated", "bob"),
        (page.row.prefix, "created", "user 1"),
        (secret.row.prefix, "created", "ada"),
    ]
