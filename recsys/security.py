"""Passwords and tokens: argon2id for what people choose, a plain hash for what chance chose."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from recsys.settings import get_settings

__all__ = ["Verified", "hash_password", "new_token", "token_id", "verify_nobody", "verify_password"]

_TOKEN_BYTES = 32


@dataclass(frozen=True)
class Verified:
    """Whether the password is the right one, and whether its hash was made with parameters of the past."""

    ok: bool
    rehash: bool


def hash_password(password: str) -> str:
    """argon2id (RFC 9106) with the parameters of the settings and a salt of its own."""
    return _hasher().hash(password)


def verify_password(stored: str, password: str) -> Verified:
    """Compare in the time that argon2 takes, also where `stored` is no hash (an imported user's is none)."""
    try:
        _hasher().verify(stored, password)
    except InvalidHashError:
        verify_nobody(password)
        return Verified(ok=False, rehash=False)
    except VerificationError:
        return Verified(ok=False, rehash=False)
    return Verified(ok=True, rehash=_hasher().check_needs_rehash(stored))


def verify_nobody(password: str) -> None:
    """Work as long as for a real account, so that the time of an answer does not tell who has one."""
    try:
        _hasher().verify(_nobodys_hash(*_parameters()), password)
    except VerificationError:
        return


def new_token() -> str:
    """An opaque token of 256 bits of chance, fit for a header and a cookie."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_id(token: str) -> str:
    """What is stored of a token: its SHA-256 in hexadecimal, from which nobody comes back to the token.

    A slow hash is for what people choose; 256 bits of chance can't be guessed anyway.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _parameters() -> tuple[int, int, int]:
    users = get_settings().users
    return users.argon2_time_cost, users.argon2_memory_kib, users.argon2_parallelism


def _hasher() -> PasswordHasher:
    return _hasher_of(*_parameters())


@lru_cache(maxsize=4)
def _hasher_of(time_cost: int, memory_kib: int, parallelism: int) -> PasswordHasher:
    return PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism)


@lru_cache(maxsize=4)
def _nobodys_hash(time_cost: int, memory_kib: int, parallelism: int) -> str:
    return _hasher_of(time_cost, memory_kib, parallelism).hash(secrets.token_urlsafe(_TOKEN_BYTES))
