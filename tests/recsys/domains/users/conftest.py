"""A shop whose hashes are cheap, and accounts that can log in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
import redis
from sqlalchemy import event

from recsys.api import create_api
from recsys.database.session import get_engine
from recsys.settings import get_settings
from tests.serving.running import running
from tests.support.shop import Shop

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Person:
    """Somebody with an account, logged in."""

    id: int
    name: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What their requests carry."""
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True)
class Desk:
    """The API of a shop, and its two stores."""

    client: httpx.Client
    shop: Shop
    redis: redis.Redis

    def register(self, name: str, *, status: int = 202, **other: object) -> httpx.Response:
        """Make an account `name`."""
        body = {
            "email": f"{name}@example.org",
            "username": name,
            "full_name": name.title(),
            "password": PASSWORD,
        }
        answer = self.client.post("/api/v1/auth/register", json={**body, **other})
        assert answer.status_code == status, answer.text
        return answer

    def account(self, name: str) -> int:
        """The id of a new account."""
        self.register(name)
        ((made,),) = self.rows("SELECT id FROM users_db.users WHERE username = %s", name.lower())
        assert isinstance(made, int)
        return made

    def log_in(
        self, name: str, *, password: str = PASSWORD, status: int = 200, **headers: str
    ) -> httpx.Response:
        """Log in without keeping the cookie."""
        answer = self.client.post(
            "/api/v1/auth/login",
            json={"login": name, "password": password},
            headers={one.replace("_", "-"): value for one, value in headers.items()},
        )
        self.client.cookies.clear()
        assert answer.status_code == status, answer.text
        return answer

    def person(self, name: str) -> Person:
        """A new account, logged in."""
        self.register(name)
        done = self.log_in(name).json()
        return Person(done["user_id"], name, done["token"])

    def again(self, person: Person) -> Person:
        """Another session of the same account."""
        return Person(person.id, person.name, self.log_in(person.name).json()["token"])

    def call(
        self, who: Person | None, method: str, path: str, *, status: int = 200, json: object = None
    ) -> httpx.Response:
        """One request in somebody's name."""
        answer = self.client.request(
            method,
            f"/api/v1{path}",
            headers=who.headers if who else {},
            json=json if json is not None else None,
        )
        self.client.cookies.clear()
        assert answer.status_code == status, answer.text
        return answer

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """What PostgreSQL says."""
        with self.shop.connect() as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

    def agree(self, user_id: int) -> set[str]:
        """The session ids of a user, after a check that table, set and hashes say the same."""
        stored = {
            str(one[0])
            for one in self.rows("SELECT session_id FROM users_db.user_sessions WHERE user_id = %s", user_id)
        }
        kept = {one.decode() for one in self.redis.smembers(f"session:user:{user_id}")}
        hashes = {
            key.decode().removeprefix("session:")
            for key in self.redis.scan_iter("session:*")
            if not key.startswith(b"session:user:")
            and self.redis.hget(key, "user_id") == str(user_id).encode()
        }
        assert stored == kept == hashes
        return stored


@pytest.fixture
def desk(shop: Shop, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """An empty shop behind HTTP."""
    monkeypatch.setenv("RECSYS_USERS__ARGON2_TIME_COST", "1")
    monkeypatch.setenv("RECSYS_USERS__ARGON2_MEMORY_KIB", "64")
    get_settings.cache_clear()
    # the asking side runs in the same process, and what it logs would count as the shop's own words
    asking = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    levels = [one.level for one in asking]
    for one in asking:
        one.setLevel(logging.WARNING)
    try:
        with running(create_api()) as client:
            yield Desk(client, shop, redis_client)
    finally:
        for one, level in zip(asking, levels, strict=True):
            one.setLevel(level)


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of PostgreSQL meanwhile, without the values."""
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    engine = get_engine()
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
