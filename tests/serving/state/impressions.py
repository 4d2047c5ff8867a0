"""Impressions that are stored at once."""

from __future__ import annotations

import threading

from recsys.write_buffer import drain


def bring_in() -> None:
    drain.run(threading.Event(), once=True)
