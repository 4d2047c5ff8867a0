"""Spans of traces for code that knows nothing of tracing; nothing happens while tracing is off.

`recsys.observation.tracing` turns it on. Off, a span costs one look at a variable.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

__all__ = [
    "TRACEPARENT",
    "SpanMaker",
    "continued",
    "current_trace_id",
    "current_traceparent",
    "is_tracing",
    "span",
    "trace_with",
]

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""The header `traceparent` of W3C Trace Context, version 00."""


class SpanMaker(Protocol):
    """What makes spans while tracing is on."""

    def span(self, name: str, attributes: dict[str, str]) -> AbstractContextManager[object]:
        """Make a span within the current one."""

    def continued(
        self, name: str, traceparent: str | None, attributes: dict[str, str]
    ) -> AbstractContextManager[object]:
        """Make a span within a span of elsewhere; of a new trace without one."""

    def traceparent(self) -> str | None:
        """The current span as a traceparent; None outside of any."""


_NOTHING: AbstractContextManager[None] = nullcontext()
_maker: SpanMaker | None = None


def trace_with(maker: SpanMaker | None) -> None:
    """Make spans by `maker` from now on; None: make none."""
    global _maker
    _maker = maker


def is_tracing() -> bool:
    """Whether spans are made."""
    return _maker is not None


def span(name: str, **attributes: str) -> AbstractContextManager[object]:
    """Make a span of the block, within the current span. Attributes must not be personal."""
    return _NOTHING if _maker is None else _maker.span(name, attributes)


def continued(name: str, traceparent: str | None, **attributes: str) -> AbstractContextManager[object]:
    """Make a span of the block in the trace that another process, or another thread, began."""
    return _NOTHING if _maker is None else _maker.continued(name, traceparent, attributes)


def current_traceparent() -> str | None:
    """The current span, for what continues it elsewhere; None while tracing is off, or outside of any."""
    return None if _maker is None else _maker.traceparent()


def current_trace_id() -> str | None:
    """The id of the current trace (32 hexadecimal digits), for logs; None as above."""
    traceparent = current_traceparent()
    return None if traceparent is None else traceparent[3:35]
