"""Guest sessions: unguessable ids that the server issues and signs, and ids that a shop chooses with its key.

A guest without an account carries a token, `ID.SIGNATURE`: 128 random bits and their HMAC (`signing`). The
server accepts it without a look-up. Only the id is stored, so that an id from a table, event or log opens
no cart. An id without a signature is accepted from programs with a secret API key, which speak for
their guests; without one it would be enough to guess or read it.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets

from starlette.types import Scope

from recsys.errors import Invalid
from recsys.web.access.authorization import key_of
from recsys.web.access.signing import is_signed, sign

__all__ = [
    "GUEST_COOKIE",
    "GUEST_HEADER",
    "guest_id",
    "issue",
    "looks_issued",
    "signed_id",
    "with_signature",
]

GUEST_COOKIE = "recsys_session"
GUEST_HEADER = "X-Session-Id"
_PURPOSE = b"guest session"
_ID_BYTES = 16
_SHOPS_ID = re.compile(r"[\x21-\x7e]{1,255}")
_SIGNATURE_CHARACTERS = 22
_ISSUED_ID = re.compile(r"[A-Za-z0-9_-]{22}")


def issue() -> str:
    """A new guest's token."""
    return with_signature(secrets.token_urlsafe(_ID_BYTES))


def with_signature(guest: str) -> str:
    """The token of a guest's id."""
    signature = base64.urlsafe_b64encode(sign(_PURPOSE, guest.encode("ascii"))).decode("ascii")
    return f"{guest}.{signature.rstrip('=')}"


def looks_issued(guest: str) -> bool:
    """Whether an id has the form of those that this server issues; it is no proof that it did."""
    return _ISSUED_ID.fullmatch(guest) is not None


def signed_id(token: str) -> str | None:
    """The id of a token that this server issued, None for anything else."""
    guest, _, signature = token.rpartition(".")
    if not guest or len(signature) != _SIGNATURE_CHARACTERS or not _SHOPS_ID.fullmatch(token):
        return None
    try:
        given = base64.b64decode(signature + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return guest if is_signed(_PURPOSE, guest.encode("ascii"), given) else None


def guest_id(scope: Scope, given: str) -> str:
    """The id of the guest session that a request names.

    Raises
    ------
    Invalid
        This server did not issue the id, and the request carries no secret API key; or the id is not 1 to 255
        visible ASCII characters.
    """
    signed = signed_id(given)
    if signed is not None:
        return signed
    if not _SHOPS_ID.fullmatch(given):
        raise Invalid(f"The guest session ({GUEST_HEADER}) is not 1 to 255 visible ASCII characters.")
    key = key_of(scope)
    if key is None or key.origins:
        raise Invalid(
            f"This guest session ({GUEST_HEADER}) was not issued by this server. Get one from "
            "POST /api/v1/auth/guest; ids of the shop's own need a secret API key (X-Api-Key)."
        )
    return given
