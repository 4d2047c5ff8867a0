"""Devices on which a user logged in before, known by a signed cookie.

Failed attempts of others do not keep the owner out of them (OWASP, "Slow down online guessing attacks with
device cookies").
"""

from __future__ import annotations

import base64
import binascii
import secrets

from recsys.web.access.signing import SIZE, is_signed, sign

__all__ = ["DEVICE_COOKIE", "DEVICE_SECONDS", "device_of", "issue"]

DEVICE_COOKIE = "recsys_device"
DEVICE_SECONDS = 365 * 86_400
"""How long a browser keeps the cookie."""
_PURPOSE = b"device"
_NONCE_BYTES = 12


def issue(user_id: int) -> str:
    """The cookie of a device on which this user has just logged in."""
    text = f"{user_id}:{secrets.token_hex(_NONCE_BYTES)}".encode("ascii")
    return base64.urlsafe_b64encode(sign(_PURPOSE, text) + text).decode("ascii").rstrip("=")


def device_of(cookie: str | None, user_id: int) -> str | None:
    """The name of the device, if the cookie is one of this user's; None for anything else."""
    if cookie is None or len(cookie) > 200:
        return None
    try:
        data = base64.b64decode(cookie + "=" * (-len(cookie) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    text = data[SIZE:]
    if not is_signed(_PURPOSE, text, data[:SIZE]) or not text.startswith(f"{user_id}:".encode("ascii")):
        return None
    return text.decode("ascii")
