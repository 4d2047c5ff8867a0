"""Addresses of blocks: what they stand for comes back, and nothing else is accepted or disclosed."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import clock
from recsys.errors import Invalid, NotFound
from recsys.settings import get_settings
from serving.mail_blocks.address import (
    MAIL_PLACEMENTS,
    MAX_PLACES,
    MailBlock,
    address_of,
    block_url,
    new_block,
    read_address,
)
from serving.recommender.request import Placement

NOW = datetime(2026, 11, 29, 10, 30, tzinfo=UTC)
BLOCKS = st.builds(
    MailBlock,
    st.integers(1, 2**31 - 1),
    st.sampled_from(MAIL_PLACEMENTS),
    st.integers(1, MAX_PLACES),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)


@given(BLOCKS)
def test_an_address_stands_for_its_block(block: MailBlock) -> None:
    found, name = read_address(address_of(block))
    assert found == block
    assert read_address(address_of(block))[1] == name


@given(BLOCKS, st.integers(0, 30), st.integers(1, 255))
def test_a_changed_address_is_unknown(block: MailBlock, place: int, change: int) -> None:
    data = bytearray(base64.urlsafe_b64decode(address_of(block) + "=="))
    data[place] ^= change
    with pytest.raises(NotFound, match="no such block"):
        read_address(base64.urlsafe_b64encode(bytes(data)).decode().rstrip("="))


@given(st.text(max_size=60))
def test_any_text_is_unknown(text: str) -> None:
    with pytest.raises(NotFound, match="no such block"):
        read_address(text)


def test_neighbours_share_nothing() -> None:
    blocks = [MailBlock(user, Placement.FOR_YOU, 3, 500_000, 7) for user in range(1, 200)]
    raw = [base64.urlsafe_b64decode(address_of(block) + "==") for block in blocks]
    for place in range(31):
        assert len({each[place] for each in raw}) > 60, f"byte {place} hardly depends on the user"


def test_secrets_may_be_rotated(monkeypatch: pytest.MonkeyPatch) -> None:
    def use(*secrets: str) -> None:
        monkeypatch.setenv("RECSYS_API__CURSOR_SECRETS", json.dumps(secrets))
        get_settings.cache_clear()

    old, new = "a" * 32, "b" * 32
    use(old)
    block = MailBlock(5, Placement.TRENDING, 2, 500_000, 9)
    address, name = address_of(block), read_address(address_of(block))[1]
    use(new, old)
    assert read_address(address) == (block, name)
    assert address_of(block) != address
    use(new)
    with pytest.raises(NotFound):
        read_address(address)
    get_settings.cache_clear()


def test_each_mail_has_a_block_of_its_own_until_it_expires() -> None:
    with clock.frozen_at(NOW):
        block, other = new_block(5, Placement.FOR_YOU, 3, 2.0), new_block(5, Placement.FOR_YOU, 3, 2.0)
        assert address_of(block) != address_of(other)
        assert not block.is_expired
    with clock.frozen_at(NOW + timedelta(days=2)):
        assert not block.is_expired, "the hour is completed"
    with clock.frozen_at(NOW + timedelta(days=2, hours=1)):
        assert block.is_expired


def test_what_no_mail_can_show_is_refused() -> None:
    for placement, places, days, message in (
        (Placement.SIMILAR, 3, 1.0, "no product to start from"),
        (Placement.FOR_YOU, 0, 1.0, "places"),
        (Placement.FOR_YOU, MAX_PLACES + 1, 1.0, "places"),
        (Placement.FOR_YOU, 3, 0.0, "valid_days"),
        (Placement.FOR_YOU, 3, 400.0, "valid_days"),
    ):
        with pytest.raises(Invalid, match=message):
            new_block(5, placement, places, days)
    with pytest.raises(Invalid, match="RECSYS_MAIL_BLOCKS__BASE_URL"):
        block_url(new_block(5, Placement.FOR_YOU, 3))
