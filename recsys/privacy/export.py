"""All that is kept of a person, as a ZIP of JSON files, one for each place of the registry.

Rows of tables are written as they are read, `ROWS_AT_ONCE` of them in memory.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import orjson

from recsys import clock
from recsys.cache.client import get_redis
from recsys.database.session import unit_of_work
from recsys.errors import NotFound
from recsys.privacy import person as people
from recsys.privacy.places import job_logs
from recsys.privacy.places.published import ALL_FILE_PLACES
from recsys.privacy.places.redis_keys import KEY_PLACES, searches_of
from recsys.privacy.places.tables import TABLE_PLACES
from recsys.settings import get_settings

__all__ = ["INDEX_FILE", "spooled_zip", "write_zip"]

INDEX_FILE = "index.json"
IN_MEMORY = 1 << 20
"""Bytes of a ZIP for a response that stay in memory; a longer one lies in a temporary file."""
_ABOUT = (
    "One file for each place in which something of the person may be; an empty list where nothing is. "
    "Secrets (hashes of passwords and tokens, texts of messages, which hold codes), rows of other users that "
    "name the person, and what is computed (packed lists, search words) are left out."
)


def write_zip(user_id: int, target: IO[bytes]) -> None:
    """Write what is kept of a person. Raises NotFound for an unknown or erased user, Unavailable."""
    counts: dict[str, int] = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in _files(user_id):
            counts[name] = _write_rows(archive, name, rows)
        index = {
            "format": 1,
            "user": user_id,
            "made_at": clock.now().isoformat(),
            "about": _ABOUT,
            "files": counts,
        }
        archive.writestr(INDEX_FILE, _json(index))


@contextmanager
def spooled_zip(user_id: int) -> Iterator[IO[bytes]]:
    """The ZIP from its beginning, gone at the end of the block. Raises as `write_zip`."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as spooled:
        write_zip(user_id, spooled)
        spooled.seek(0)
        yield spooled


def _files(user_id: int) -> Iterator[tuple[str, Iterable[Any]]]:
    """Each file with its rows, which are read while they are consumed."""
    client, settings = get_redis(), get_settings()
    with unit_of_work() as session:
        person = people.find(session, user_id)
        if not person.is_known:
            raise NotFound(f"There is no user {user_id}: the account was erased.")
        for place in TABLE_PLACES:
            yield f"tables/{_file_name(place.name)}.json", place.rows(session, person)
        yield f"tables/{_file_name(job_logs.NAME)}.json", job_logs.rows(session, person)
    for key, key_place in KEY_PLACES.items():
        yield f"redis/{key}.json", key_place.read(client, person)
    yield "redis/searches.json", searches_of(client, person)
    for name, file_place in ALL_FILE_PLACES.items():
        yield f"files/{_file_name(name)}.json", file_place.read(settings, person)


def _write_rows(archive: zipfile.ZipFile, name: str, rows: Iterable[Any]) -> int:
    count = 0
    with archive.open(name, "w", force_zip64=True) as file:
        for row in rows:
            file.write(b",\n" if count else b"[\n")
            file.write(_json(row))
            count += 1
        file.write(b"\n]" if count else b"[]")
    return count


def _json(content: object) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2, default=str)


def _file_name(place: str) -> str:
    return place.replace("/", "_").replace(":", "-").replace(" ", "_")
