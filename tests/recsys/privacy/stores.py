"""What every store of a shop holds: rows, keys, files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from psycopg import sql

from recsys.database.metadata import metadata
from tests.journeys.conftest import Counter
from tests.recsys.privacy.person_everywhere import MARKS, NUMBER


def traces(counter: Counter) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each mark with each store that holds it."""
    for name, content in _contents(counter):
        text = content.lower()
        for mark in MARKS:
            if mark.encode() in text:
                yield mark, name


def left(counter: Counter) -> str:
    """The traces that are left, a line each."""
    return " ".join(sorted({f"{mark}: {kind} {name};" for mark, (kind, name) in traces(counter)}))


def _contents(counter: Counter) -> Iterator[tuple[tuple[str, str], bytes]]:
    with counter.shop.connect() as connection:
        for table in metadata.tables:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*table.split(".")))
            for (row,) in connection.execute(query):
                yield ("table", table), row.encode()
    for key in counter.redis.scan_iter("*"):
        yield ("redis", key.decode()), key + repr(_content(counter, key)).encode()
    for path in counter.shop.var.rglob("*"):
        if path.is_file() and "models" not in path.relative_to(counter.shop.var).parts[:1]:
            yield ("file", str(path.relative_to(counter.shop.var))), path.name.encode() + path.read_bytes()


def _content(counter: Counter, key: bytes) -> Any:
    client: Any = counter.redis
    kind = client.type(key)
    readers = {
        b"string": client.get, b"hash": client.hgetall, b"set": client.smembers, b"stream": client.xrange,
        b"list": lambda name: client.lrange(name, 0, -1), b"zset": lambda name: client.zrange(name, 0, -1),
    }  # fmt: skip
    return readers[kind](key)


def is_in_an_array(counter: Counter) -> bool:
    """Whether an array on disk has the person's id, outside of models, which are trained again."""
    var = counter.shop.var
    paths = [path for path in var.rglob("*.npy") if path.relative_to(var).parts[0] != "models"]
    return any(bool((np.load(path, allow_pickle=False) == NUMBER).any()) for path in paths)
