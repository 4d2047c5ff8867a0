"""Signed user tokens: what a shop's server gives to its pages, so that they ask for one user's lists.

A token is a JSON Web Token (RFC 7519) with HMAC-SHA-256: `sub` is the shop's own id of the user
(`users.username`), `exp` is at most a day ahead. It is signed with the signing secret of a publishable key
(`recsys keys secret`), which stays on the shop's server, and is valid with that key only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import jwt
from jwt.types import Options

from recsys import clock
from recsys.errors import Invalid, Unauthorized

__all__ = ["LONGEST", "looks_like_token", "make_user_token", "read_user_token"]

ALGORITHM = "HS256"
LONGEST = timedelta(days=1)
"""Tokens that are valid for longer are refused."""
_CLOCK_SKEW = timedelta(seconds=60)
_LONGEST_NAME = 100
_LONGEST_TEXT = 2_000
_SIGNATURE_ALONE: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
_REMEDY = "let the shop's server make a new one (docs/guides/integrate.md)"


def make_user_token(secret: str, user: str, *, lifetime: timedelta = timedelta(hours=1)) -> str:
    """A token for the page of a user, signed with the signing secret of its publishable key.

    Parameters
    ----------
    secret
        The signing secret.
    user
        The shop's own id of the user, as in its imports.
    lifetime
        How long the token is valid; at most a day.

    Raises
    ------
    Invalid
        The secret or the user is empty, the user's id is too long, or the lifetime is not above 0 and at most
        a day.
    """
    if not secret or not 0 < len(user) <= _LONGEST_NAME:
        raise Invalid(f"a token needs the signing secret, and a user's id of 1 to {_LONGEST_NAME} characters")
    if not timedelta(0) < lifetime <= LONGEST:
        raise Invalid("a token is valid for more than 0 seconds and at most a day")
    now = clock.now()
    claims = {"sub": user, "iat": int(now.timestamp()), "exp": int((now + lifetime).timestamp())}
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def looks_like_token(text: str) -> bool:
    """Whether a bearer token is a signed user token, and not the token of a log-in: these have no dots."""
    return text.count(".") == 2


def read_user_token(secrets: Sequence[str], token: str) -> str:
    """The shop's id of the user whose token it is. Raises Unauthorized, with the reason."""
    claims = None
    for secret in secrets if len(token) <= _LONGEST_TEXT else ():
        try:
            # the claims are examined below, with the project's clock and a reason for each
            claims = jwt.decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                options=_SIGNATURE_ALONE,
            )
            break
        except jwt.InvalidTokenError:
            continue
    if claims is None:
        raise Unauthorized(f"This user token is not signed with the secret of this key (HS256); {_REMEDY}.")
    user, ends = claims.get("sub"), claims.get("exp")
    if not isinstance(user, str) or not 0 < len(user) <= _LONGEST_NAME or "\0" in user:
        raise Unauthorized(f"This user token names no user: `sub` is the shop's id as a text; {_REMEDY}.")
    if isinstance(ends, bool) or not isinstance(ends, int | float):
        raise Unauthorized(f"This user token has no end: `exp` is in seconds since 1970; {_REMEDY}.")
    now = clock.now().timestamp()
    begins = claims.get("nbf")
    if begins is not None and not (
        isinstance(begins, int | float) and begins <= now + _CLOCK_SKEW.total_seconds()
    ):
        raise Unauthorized(f"This user token is not valid yet, by its `nbf`; {_REMEDY}.")
    if ends <= now:
        raise Unauthorized(f"This user token has expired; {_REMEDY}.")
    # written so that NaN is refused as well
    if not ends <= now + (LONGEST + _CLOCK_SKEW).total_seconds():
        raise Unauthorized(f"This user token is valid for more than a day; {_REMEDY}.")
    return user
