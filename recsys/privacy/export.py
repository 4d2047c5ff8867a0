"""All that is kept of a person, as a ZIP of JSON files, one for each place of the registry."""

from __future__ import annotations

import io
import zipfile
from typing import Any

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

__all__ = ["INDEX_FILE", "as_zip", "export"]

INDEX_FILE = "index.json"
_ABOUT = (
    "One file for each place in which something of the person may be; an empty list where nothing is. "
    "Secrets (hashes of passwords and tokens, texts of messages, which hold codes), rows of other users that "
    "name the person, and what is computed (packed lists, search words) are left out."
)


def export(user_id: int) -> dict[str, list[Any]]:
    """What is kept of a person, by file name. Raises NotFound for an unknown or erased user, Unavailable."""
    client, settings = get_redis(), get_settings()
    files: dict[str, list[Any]] = {}
    with unit_of_work() as session:
        person = people.find(session, user_id)
        if not person.is_known:
            raise NotFound(f"There is no user {user_id}: the account was erased.")
        for place in TABLE_PLACES:
            files[f"tables/{_file_name(place.name)}.json"] = place.read(session, person)
        files[f"tables/{_file_name(job_logs.NAME)}.json"] = job_logs.read(session, person)
    for key, key_place in KEY_PLACES.items():
        files[f"redis/{key}.json"] = key_place.read(client, person)
    files["redis/searches.json"] = list(searches_of(client, person))
    for name, file_place in ALL_FILE_PLACES.items():
        files[f"files/{_file_name(name)}.json"] = file_place.read(settings, person)
    return files


def as_zip(user_id: int) -> bytes:
    """The export as a ZIP file. Raises as `export`."""
    files = export(user_id)
    index = {
        "format": 1,
        "user": user_id,
        "made_at": clock.now().isoformat(),
        "about": _ABOUT,
        "files": {name: len(rows) for name, rows in files.items()},
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in ((INDEX_FILE, index), *files.items()):
            archive.writestr(name, orjson.dumps(content, option=orjson.OPT_INDENT_2, default=str))
    return written.getvalue()


def _file_name(place: str) -> str:
    return place.replace("/", "_").replace(":", "-").replace(" ", "_")
