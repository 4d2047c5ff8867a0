"""What an API keeps still while it serves, and that it leaves its process as it found it."""

from __future__ import annotations

import gc
import sys

from serving.steady import SWITCH_SECONDS, steady


def test_what_was_there_before_is_looked_at_no_more_until_the_end() -> None:
    before = (gc.get_threshold(), sys.getswitchinterval(), gc.get_freeze_count())
    held = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    with steady():
        assert gc.get_freeze_count() > before[2] + len(held)
        assert gc.get_threshold()[0] > before[0][0]
        assert sys.getswitchinterval() == SWITCH_SECONDS
    assert (gc.get_threshold(), sys.getswitchinterval()) == before[:2]
    assert gc.get_freeze_count() == 0
