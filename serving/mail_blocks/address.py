"""Addresses of blocks: signed, bound to a user, a placement and an expiry, and telling none of these.

A block's address is 31 bytes in base64url: a signature of what it stands for, and that itself, masked by a
signature of the signature. So equal contents have equal addresses, nothing can be read from one or changed in
one, and it needs no storage (the construction of RFC 5297, with the keys and the rotation of cursors, see
`recsys.web.access.signing`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import secrets
import struct
from dataclasses import dataclass

from recsys import clock
from recsys.errors import Invalid, NotFound
from recsys.settings import get_settings
from recsys.web.access.signing import SIZE, sign, signatures
from serving.recommender.request import Placement

__all__ = [
    "MAIL_PLACEMENTS",
    "MAX_PLACES",
    "MailBlock",
    "address_of",
    "block_url",
    "new_block",
    "read_address",
]

MAIL_PLACEMENTS = (
    Placement.FOR_YOU,
    Placement.BUY_AGAIN,
    Placement.BECAUSE_YOU_VIEWED,
    Placement.TRENDING,
    Placement.NEW_ARRIVALS,
    Placement.POPULAR,
)
"""Those that need no product; their place here is their code in addresses: add new ones at the end."""
MAX_PLACES = 12
_SIGNATURE, _MASK = b"mail block", b"mail block mask"
_FORM = struct.Struct(">BIBBII")
_VERSION = 1
_HOUR = 3600


@dataclass(frozen=True)
class MailBlock:
    """What an address stands for.

    Attributes
    ----------
    expires
        Hours since 1970.
    mark
        Tells mails of one person apart.
    """

    user: int
    placement: Placement
    places: int
    expires: int
    mark: int = 0

    @property
    def is_expired(self) -> bool:
        """Whether the block is too old to show what suits the person."""
        return clock.now().timestamp() >= self.expires * _HOUR


def new_block(user: int, placement: Placement, places: int, valid_days: float | None = None) -> MailBlock:
    """Make a block of its own, for one mail. Raises Invalid."""
    if placement not in MAIL_PLACEMENTS:
        raise Invalid(
            f"placement: a mail has no product to start from; give one of {', '.join(MAIL_PLACEMENTS)}",
            field="placement",
        )
    if not 1 <= places <= MAX_PLACES:
        raise Invalid(f"places: give 1 to {MAX_PLACES}", field="places")
    days = get_settings().mail_blocks.valid_days if valid_days is None else valid_days
    if not 0 < days <= 366:
        raise Invalid("valid_days: give more than 0 and at most 366", field="valid_days")
    expires = math.ceil((clock.now().timestamp() + days * 24 * _HOUR) / _HOUR)
    return MailBlock(user, placement, places, expires, secrets.randbits(32))


def address_of(block: MailBlock) -> str:
    """The last part of the block's address."""
    plain = _FORM.pack(
        _VERSION, block.user, MAIL_PLACEMENTS.index(block.placement), block.places, block.expires, block.mark
    )
    signature = sign(_SIGNATURE, plain)
    masked = _masked(plain, sign(_MASK, signature))
    return base64.urlsafe_b64encode(signature + masked).decode("ascii").rstrip("=")


def read_address(address: str) -> tuple[MailBlock, str]:
    """Read an address; the block may be expired.

    Returns
    -------
    block : MailBlock
        What the address stands for.
    name : str
        A name that no other block has and that tells as little as the address.

    Raises
    ------
    NotFound
        The address is of another maker.
    """
    try:
        data = base64.b64decode(address + "=" * (-len(address) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise _unknown() from error
    if len(data) != SIZE + _FORM.size:
        raise _unknown()
    signature, masked = data[:SIZE], data[SIZE:]
    # the masks and signatures of all accepted keys are in the same order
    for place, mask in enumerate(signatures(_MASK, signature)):
        plain = _masked(masked, mask)
        if hmac.compare_digest(signatures(_SIGNATURE, plain)[place], signature):
            version, user, placement, places, expires, mark = _FORM.unpack(plain)
            if version == _VERSION and placement < len(MAIL_PLACEMENTS):
                block = MailBlock(user, MAIL_PLACEMENTS[placement], places, expires, mark)
                return block, signature.hex()
    raise _unknown()


def block_url(block: MailBlock, base_url: str | None = None) -> str:
    """The whole address.

    Parameters
    ----------
    base_url
        Used where the setting has none.

    Raises
    ------
    Invalid
        Neither the setting nor `base_url` is there.
    """
    base = get_settings().mail_blocks.base_url or base_url
    if base is None:
        raise Invalid(
            "Mails need the address of this API: set RECSYS_MAIL_BLOCKS__BASE_URL, such as "
            "https://recsys.example.com."
        )
    return f"{base.rstrip('/')}/api/v1/mail-blocks/{address_of(block)}"


def _masked(data: bytes, mask: bytes) -> bytes:
    return bytes(each ^ other for each, other in zip(data, mask, strict=False))


def _unknown() -> NotFound:
    return NotFound("There is no such block.")
