"""Structured logs: readable lines on a terminal, JSON elsewhere, and never a secret in either."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

import structlog

from recsys.observation.spans import current_trace_id

__all__ = ["configure", "get_logger", "write_json"]

_root = logging.getLogger()
_SECRET_WORDS = ("password", "secret", "token", "authorization", "api_key", "cookie")


def _add_trace(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    trace_id = current_trace_id()
    if trace_id is not None:
        event["trace_id"] = trace_id
    return event


def _hide_secrets(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    for key in event:
        if any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = "[hidden]"
    return event


def _console() -> structlog.dev.ConsoleRenderer:
    """The default prints the locals of every frame: they hold what must not be logged, and take minutes."""
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


# for programs that use a part of this one and never call `configure`
if not structlog.is_configured():
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _hide_secrets,
            _console(),
        ]
    )


class _Stderr(logging.Handler):
    """Writes to what `sys.stderr` is at that moment: a notebook or a test runner replaces and closes it."""

    as_json = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - logging's own way: a log line never stops the work
            self.handleError(record)

    def write(self, line: str) -> None:
        """A line that needs no formatting any more."""
        self.acquire()
        try:
            # a disk that is full, a pipe that is closed: as above
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
        finally:
            self.release()


def configure(level: str = "INFO", *, json: bool | None = None) -> None:
    """Send structlog and the standard library's logging to stderr in one format.

    Parameters
    ----------
    level
        Such as DEBUG, INFO or WARNING.
    json
        Whether lines are JSON; None: unless stderr is a terminal.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer() if as_json else _console()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = _Stderr()
    handler.setFormatter(formatter)
    handler.as_json = as_json
    _root.handlers = [handler]
    _root.setLevel(level)


def write_json(logger: logging.Logger, line: str) -> bool:
    """Write a finished line of JSON where this logger's lines go; False where they need more than that.

    For hot paths: a record, its formatter and structlog's processors take longer than an answer. The caller
    asks `logger.isEnabledFor` before.
    """
    handlers = _root.handlers
    if len(handlers) != 1 or logger.handlers or logger.filters or not logger.propagate:
        return False
    handler = handlers[0]
    if not isinstance(handler, _Stderr) or not handler.as_json or handler.filters:
        return False
    handler.write(line)
    return True


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose keyword arguments become fields of the line."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
