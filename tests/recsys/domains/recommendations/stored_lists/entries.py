"""Entries of a stored list."""

from __future__ import annotations

from hypothesis import strategies as st

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import (
    Entry,
)

ID = st.integers(1, 2**31 - 1)
ENTRIES = st.builds(
    Entry,
    product=ID,
    score=st.integers(0, 10_000),
    kind=st.sampled_from(Kind),
    reason=st.sampled_from(ReasonCode),
    evidence=st.one_of(st.just(-1), ID),
    novel=st.booleans(),
    bought=st.booleans(),
)
