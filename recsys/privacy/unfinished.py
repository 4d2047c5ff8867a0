"""What leads to a person whose erasure has begun, in a private file until it has ended.

Once the account is deleted nothing else knows the person's addresses and sessions: an erasure that fails
after its first commit could not be completed without them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path

from recsys.privacy.person import Person
from recsys.settings import get_settings

__all__ = ["forget", "load", "save"]


def save(person: Person) -> None:
    """Write the file, for its owner's eyes only. Raises OSError."""
    path = _path(person.user_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(person), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def load(person: Person) -> Person:
    """The person of an erased account: as the file has them, or as given where there is no file."""
    try:
        content = json.loads(_path(person.user_id).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return person
    values = {
        each.name: tuple(content[each.name])
        for each in fields(Person)
        if each.name not in ("user_id", "is_known")
    }
    return Person(person.user_id, is_known=False, **values)


def forget(user_id: int) -> None:
    """Delete the file where there is one."""
    _path(user_id).unlink(missing_ok=True)


def _path(user_id: int) -> Path:
    return get_settings().var / "run" / f"erasing-{user_id}.json"
