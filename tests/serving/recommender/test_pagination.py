"""Cursors: they come back as they were given, belong to one question, and nothing else passes for one."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import Entry
from recsys.errors import Invalid
from recsys.web.access.signing import SIZE, blake2, hmac_sha256, sign
from serving.ranking.strategies import Source
from serving.recommender.pagination import Rest, decode, encode
from serving.recommender.request import Filters, RecommendationRequest
from tests.recsys.domains.recommendations.stored_lists.entries import ENTRIES

SOURCES: tuple[Source, ...] = ("stored", "live", "popular")
RESTS = st.builds(
    Rest,
    st.lists(ENTRIES, min_size=1, max_size=300),
    st.sampled_from(SOURCES),
    st.one_of(st.none(), st.text(min_size=1, max_size=60)),
    st.one_of(st.none(), st.text(min_size=1, max_size=20)),
    st.one_of(st.none(), st.integers(1, 2**31 - 1)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**16 - 1),
)
REQUEST = RecommendationRequest(user=7, filters=Filters(brands=(3,)))


@given(RESTS)
def test_a_cursor_gives_back_the_rest(rest: Rest) -> None:
    cursor = encode(rest, REQUEST)
    assert len(cursor) < 8_000
    decoded = decode(cursor, RecommendationRequest(user=7, filters=Filters(brands=(3,)), limit=3))
    assert list(decoded.entries) == list(rest.entries)
    assert (decoded.source, decoded.model, decoded.version) == (rest.source, rest.model, rest.version)
    assert (decoded.generation, decoded.made_at, decoded.shown) == (rest.generation, rest.made_at, rest.shown)


@given(RESTS)
def test_a_cursor_of_the_former_release_gives_back_the_rest(rest: Rest) -> None:
    cursor = encode(rest, REQUEST)
    data = bytearray(base64.urlsafe_b64decode(cursor + "==")[SIZE:])
    data[0] = 2
    signed = sign(b"list", bytes(data), hmac_sha256) + bytes(data)
    former = base64.urlsafe_b64encode(signed).rstrip(b"=").decode()
    assert decode(former, REQUEST) == decode(cursor, REQUEST)
    # neither format takes the other's signature
    wrong = base64.urlsafe_b64encode(sign(b"list", bytes(data), blake2) + bytes(data)).rstrip(b"=").decode()
    with pytest.raises(Invalid, match="not from this service"):
        decode(wrong, REQUEST)


@pytest.mark.parametrize(
    "other",
    [
        RecommendationRequest(user=8, filters=REQUEST.filters),
        RecommendationRequest(user=7),
        RecommendationRequest(session="7", filters=REQUEST.filters),
    ],
)
def test_a_cursor_belongs_to_one_question(other: RecommendationRequest) -> None:
    cursor = encode(Rest([], "live", None, None, None, 0, 0), REQUEST)
    with pytest.raises(Invalid, match="another request"):
        decode(cursor, other)


@given(
    st.one_of(
        st.text(max_size=200), st.binary(max_size=200).map(lambda b: base64.urlsafe_b64encode(b).decode())
    )
)
def test_nothing_else_passes_for_a_cursor(text: str) -> None:
    with pytest.raises(Invalid):
        decode(text, REQUEST)


@given(st.data())
def test_a_cursor_that_was_cut_is_refused(data: st.DataObject) -> None:
    rest = data.draw(RESTS)
    cursor = encode(rest, REQUEST)
    cut = cursor[: data.draw(st.integers(0, len(cursor) - 1))]
    with pytest.raises(Invalid, match="not from this service"):
        decode(cut, REQUEST)


@given(st.data())
def test_a_cursor_of_which_any_bit_was_changed_is_refused(data: st.DataObject) -> None:
    cursor = encode(data.draw(RESTS), REQUEST)
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Invalid, match="not from this service"):
        decode(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), REQUEST)


@pytest.mark.parametrize(
    "wrong",
    [
        {"product": 0},
        {"product": 2**32 - 1},
        {"evidence": 2**32 - 1},
        {"score": 10_001},
    ],
)
def test_values_out_of_range_are_refused_even_when_signed(wrong: dict[str, int]) -> None:
    entry = Entry(7, 9_000, Kind.POPULAR, ReasonCode.POPULAR, -1, True)._replace(**wrong)
    with pytest.raises(Invalid, match="not from this service"):
        decode(encode(Rest([entry], "live", None, None, None, 0, 0), REQUEST), REQUEST)
    with pytest.raises(Invalid, match="not from this service"):
        decode(encode(Rest([], "live", None, None, 2**32 - 1, 0, 0), REQUEST), REQUEST)
