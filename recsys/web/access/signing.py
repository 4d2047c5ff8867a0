"""Signatures of what callers carry for us and send back, of 128 bits: HMAC-SHA-256 (RFC 2104) or BLAKE2b.

The keys come from `api.cursor_secrets`: the first one signs, all of them are accepted, so that a new one can
be put in front while what the old one signed is still on its way. Without that setting the key is made of the
secret of the payments' webhooks, which every process of a shop has; without either it is a file under `var/`.
The secrets with which a shop's server signs user tokens come from `api.user_token_secrets` in the same way;
outside development they have no default.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from recsys.errors import Unavailable
from recsys.settings import get_settings

__all__ = [
    "SIZE",
    "blake2",
    "hmac_sha256",
    "is_signed",
    "sign",
    "signatures",
    "user_token_secrets",
]

SIZE = 16
"""Bytes of a signature."""
Mac = Callable[[bytes, bytes], bytes]
"""The signature of a key and a message."""


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104), cut to `SIZE` bytes."""
    return hmac.digest(key, message, "sha256")[:SIZE]


def blake2(key: bytes, message: bytes) -> bytes:
    """Keyed BLAKE2b (RFC 7693) of `SIZE` bytes, for the hot path.

    `hmac` releases the interpreter's lock for each message; in a process with other threads it takes ten
    times as long to have it again as to sign. BLAKE2b keeps it up to 2,047 bytes.
    """
    return hashlib.blake2b(message, key=key, digest_size=SIZE).digest()


def sign(purpose: bytes, data: bytes, mac: Mac = hmac_sha256) -> bytes:
    """The signature of `data` for one purpose; one for another purpose is a different one."""
    return signatures(purpose, data, mac)[0]


def signatures(purpose: bytes, data: bytes, mac: Mac = hmac_sha256) -> tuple[bytes, ...]:
    """The signatures by all accepted keys; the first is that of `sign`."""
    message = purpose + b"\0" + data
    return tuple(mac(key, message) for key in _keys())


def is_signed(purpose: bytes, data: bytes, signature: bytes, mac: Mac = hmac_sha256) -> bool:
    """Whether `signature` is that of `data` by one of the keys, compared in constant time."""
    return any(hmac.compare_digest(each, signature) for each in signatures(purpose, data, mac))


def user_token_secrets(prefix: str, epoch: int) -> tuple[str, ...]:
    """The signing secrets of a publishable key, as 64 hexadecimal digits; the first one is to be used.

    All are accepted: those of this epoch and of the one before it, of each secret of the setting. Nothing of
    them is stored.

    Parameters
    ----------
    prefix
        The prefix of the key.
    epoch
        The number of its signing secret.

    Raises
    ------
    Unavailable
        The setting is unset outside development.
    """
    settings = get_settings()
    masters = [secret.get_secret_value().encode() for secret in settings.api.user_token_secrets]
    if not masters:
        if settings.environment != "development":
            raise Unavailable(
                "user tokens need RECSYS_API__USER_TOKEN_SECRETS, a JSON list of secrets; set it to "
                """'["…"]' with the output of `openssl rand -hex 32`""",
                public="User tokens are not set up on this server: set RECSYS_API__USER_TOKEN_SECRETS.",
            )
        masters = [_of_file(settings.var / "run" / "cursor.key")]
    return tuple(
        hmac.new(master, f"recsys user tokens\0{prefix}\0{number}".encode(), "sha256").hexdigest()
        for number in (epoch, epoch - 1)
        if number > 0
        for master in masters
    )


def _keys() -> tuple[bytes, ...]:
    settings = get_settings()
    given = settings.api.cursor_secrets
    if not given and settings.payments.webhook_secret is not None:
        given = (settings.payments.webhook_secret,)
    return _derived(tuple(secret.get_secret_value() for secret in given), settings.var)


@lru_cache(maxsize=8)
def _derived(given: tuple[str, ...], var: Path) -> tuple[bytes, ...]:
    # a key of their own: what is signed with it tells nothing of the secret that it was made from
    made = [secret.encode() for secret in given] or [_of_file(var / "run" / "cursor.key")]
    return tuple(hmac.digest(secret, b"recsys cursors", "sha256") for secret in made)


def _of_file(path: Path) -> bytes:
    """The key in the file, which is made by the first process that asks. Raises Unavailable."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            try:
                # whole or not at all, and never in the place of another process's
                os.link(fresh, path)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"The key of cursors ({path}) can neither be read nor made: {error}; "
            "set RECSYS_API__CURSOR_SECRETS."
        ) from error
