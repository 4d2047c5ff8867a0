"""The share of late lists in the last minute."""

from __future__ import annotations

from serving.state.metrics import LateShare


def test_the_share_is_of_the_last_samples_only() -> None:
    share = LateShare(seconds=3)
    assert share.of_last_minute() == (0, 0)
    share.count()
    share.sample(10)
    assert share.of_last_minute() == (10, 1)
    for second in range(1, 6):
        share.count()
        share.sample(10 + 100 * second)
    assert share.of_last_minute() == (300, 3)
