"""The publishable key of the shop front's own pages, which its script sends as the script of any shop does.

A key is bound to the origin of the pages, so one is made for each address under which they are opened. It is
kept in a file below `var/`, because the database has no more than its hash.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from fastapi import Request
from sqlalchemy.orm import Session

from recsys.domains.users.api_keys import service as api_keys
from recsys.errors import Conflict, Invalid, NotFound
from recsys.log import get_logger
from recsys.settings import get_settings
from recsys.web.access.authorization import is_loopback
from recsys.web.access.signing import user_token_secrets
from recsys.web.access.user_tokens import make_user_token

__all__ = ["page_key", "user_token"]

_NAME = "shop front"
_MOST_ORIGINS = 8
"""Keys that are made at most: a caller may send any Host header, and must not fill a table."""
_CHECKED_SECONDS = 60.0
_log = get_logger(__name__)


def page_key(request: Request, session: Session) -> str | None:
    """The key for pages of this request's origin; None where none can be made, and pages have no script."""
    host = request.url.hostname or ""
    if get_settings().shop.front is None and not is_loopback(host):
        return None
    origin = f"{request.url.scheme}://{request.url.netloc}"
    checked: dict[str, tuple[str, float]] = request.app.state.__dict__.setdefault("shop_front_keys", {})
    known = checked.get(origin)
    if known is not None and time.monotonic() - known[1] < _CHECKED_SECONDS:
        return known[0]
    key = _stored(session, origin) or _published(session, origin)
    if key is not None:
        checked[origin] = key, time.monotonic()
    return key


def user_token(request: Request, session: Session, username: str) -> str | None:
    """A token with which the script asks for the lists of this user; None without a key."""
    key = page_key(request, session)
    if key is None:
        return None
    row = api_keys.publishable(session, key)
    return make_user_token(user_token_secrets(row.prefix, row.signing_epoch)[0], username)


def _file() -> Path:
    return get_settings().var / "run" / "shop-front-keys.json"


def _read() -> dict[str, str]:
    with suppress(OSError, ValueError):
        keys = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(keys, dict):
            return {str(origin): str(key) for origin, key in keys.items()}
    return {}


def _stored(session: Session, origin: str) -> str | None:
    """The key of the file, unless it was revoked or the database is another one."""
    key = _read().get(origin)
    if key is None:
        return None
    try:
        row = api_keys.publishable(session, key)
    except (NotFound, Invalid, Conflict):
        return None
    return key if origin in row.origins else None


def _published(session: Session, origin: str) -> str | None:
    keys = _read()
    if origin not in keys and len(keys) >= _MOST_ORIGINS:
        return None
    try:
        key = api_keys.publish(session, _NAME, [origin], by="the shop front").key
    except Invalid as error:
        _log.warning("the shop front has no script at this address", origin=origin, reason=error.message)
        return None
    try:
        _write({**keys, origin: key})
    except OSError as error:
        _log.warning("the key of the shop front cannot be kept", file=str(_file()), error=str(error))
    return key


def _write(keys: dict[str, str]) -> None:
    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(keys, file)
    os.replace(fresh, path)
