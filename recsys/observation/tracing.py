"""Traces by OpenTelemetry, exported by OTLP over HTTP while `tracing.endpoint` is set.

OpenTelemetry is imported only then. Its own instrumentation of psycopg and redis is not used: these packages
are betas that require an exact version of the SDK. Statements carry their text without values, commands of
Redis their name without keys, and requests the template of their route: nothing in a trace is personal.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import redis
import redis.asyncio
from sqlalchemy import Engine, event

from recsys.errors import Invalid
from recsys.observation import spans
from recsys.settings import get_settings

__all__ = ["tracing"]

_MAX_STATEMENT = 500
_RedisCall = Callable[..., Any]


@contextmanager
def tracing(process: str) -> Iterator[None]:
    """Trace inside the block, if the settings say so; what is not exported yet is exported at its end.

    Parameters
    ----------
    process
        What this process does, such as `api` or `relay`.

    Raises
    ------
    Invalid
        The packages are not installed.
    """
    settings = get_settings().tracing
    if settings.endpoint is None or spans.is_tracing():
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise Invalid(
            f"tracing needs the package {error.name}; install recsys[otel], or unset RECSYS_TRACING__ENDPOINT"
        ) from error
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.share)),
        resource=Resource.create(
            {"service.name": "recsys", "service.instance.id": socket.gethostname(), "recsys.process": process}
        ),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=settings.endpoint, headers=settings.parsed_headers())
    provider.add_span_processor(BatchSpanProcessor(exporter))
    spans.trace_with(_OpenTelemetry(provider))
    restore = [_trace_statements(), _trace_redis()]
    try:
        yield
    finally:
        spans.trace_with(None)
        for undo in restore:
            undo()
        provider.shutdown()


class _OpenTelemetry:
    """A SpanMaker by OpenTelemetry's API."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._tracer = provider.get_tracer("recsys")

    def span(self, name: str, attributes: dict[str, str]) -> AbstractContextManager[object]:
        """See SpanMaker."""
        made: AbstractContextManager[object] = self._tracer.start_as_current_span(name, attributes=attributes)
        return made

    def continued(
        self, name: str, traceparent: str | None, attributes: dict[str, str]
    ) -> AbstractContextManager[object]:
        """See SpanMaker."""
        from opentelemetry.context import Context

        parent = Context()
        if traceparent is not None and spans.TRACEPARENT.fullmatch(traceparent):
            remote = self._trace.SpanContext(
                trace_id=int(traceparent[3:35], 16),
                span_id=int(traceparent[36:52], 16),
                is_remote=True,
                trace_flags=self._trace.TraceFlags(int(traceparent[53:], 16)),
            )
            parent = self._trace.set_span_in_context(self._trace.NonRecordingSpan(remote), parent)
        made: AbstractContextManager[object] = self._tracer.start_as_current_span(
            name, context=parent, attributes=attributes
        )
        return made

    def traceparent(self) -> str | None:
        """See SpanMaker."""
        context = self._trace.get_current_span().get_span_context()
        if not context.is_valid:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _trace_statements() -> Callable[[], None]:
    """Make a span of each statement of every engine; returns what undoes it."""

    def begin(connection: Any, _: Any, statement: str, *__: Any) -> None:
        operation = statement.split(None, 1)[0].upper() if statement.strip() else "?"
        made = spans.span(
            f"postgresql {operation}",
            **{"db.system.name": "postgresql", "db.query.text": " ".join(statement.split())[:_MAX_STATEMENT]},
        )
        made.__enter__()
        connection.info["recsys_span"] = made

    def end(connection: Any, *_: Any) -> None:
        made = connection.info.pop("recsys_span", None)
        if made is not None:
            made.__exit__(None, None, None)

    def fail(context: Any) -> None:
        error = context.original_exception
        made = None if context.connection is None else context.connection.info.pop("recsys_span", None)
        if made is not None:
            # the text of the error may hold values of rows
            made.__exit__(None, None, None) if error is None else _end_without_text(made, error)

    listeners = (("before_cursor_execute", begin), ("after_cursor_execute", end), ("handle_error", fail))
    for name, listener in listeners:
        event.listen(Engine, name, listener)

    def undo() -> None:
        for name, listener in listeners:
            event.remove(Engine, name, listener)

    return undo


def _end_without_text(made: AbstractContextManager[object], error: BaseException) -> None:
    from opentelemetry import trace

    current = trace.get_current_span()
    current.set_attribute("error.type", type(error).__name__)
    current.set_status(trace.StatusCode.ERROR)
    made.__exit__(None, None, None)


def _trace_redis() -> Callable[[], None]:
    """Make a span of each command and pipeline of Redis; returns what undoes it."""
    patched: list[tuple[type, str, _RedisCall]] = []

    def patch(owner: type, name: str, wrapper: Callable[[_RedisCall], _RedisCall]) -> None:
        original: _RedisCall = owner.__dict__[name]
        patched.append((owner, name, original))
        setattr(owner, name, wrapper(original))

    patch(redis.Redis, "execute_command", _command_span)
    patch(redis.client.Pipeline, "execute", _pipeline_span)
    patch(redis.asyncio.Redis, "execute_command", _async_command_span)
    patch(redis.asyncio.client.Pipeline, "execute", _async_pipeline_span)
    if get_settings().redis.is_cluster:
        from recsys.cache.cluster import Cluster, SlotPipeline

        patch(Cluster, "execute_command", _command_span)
        patch(SlotPipeline, "execute", _pipeline_span)

    def undo() -> None:
        for owner, name, original in patched:
            setattr(owner, name, original)

    return undo


def _redis_span(name: str) -> AbstractContextManager[object]:
    return spans.span(f"redis {name}", **{"db.system.name": "redis"})


def _command_span(original: _RedisCall) -> _RedisCall:
    @functools.wraps(original)
    def execute(self: Any, *arguments: Any, **options: Any) -> Any:
        with _redis_span(str(arguments[0])):
            return original(self, *arguments, **options)

    return execute


def _pipeline_span(original: _RedisCall) -> _RedisCall:
    @functools.wraps(original)
    def execute(self: Any, *arguments: Any, **options: Any) -> Any:
        with _redis_span("pipeline"):
            return original(self, *arguments, **options)

    return execute


def _async_command_span(original: _RedisCall) -> _RedisCall:
    @functools.wraps(original)
    async def execute(self: Any, *arguments: Any, **options: Any) -> Any:
        with _redis_span(str(arguments[0])):
            return await original(self, *arguments, **options)

    return execute


def _async_pipeline_span(original: _RedisCall) -> _RedisCall:
    @functools.wraps(original)
    async def execute(self: Any, *arguments: Any, **options: Any) -> Any:
        with _redis_span("pipeline"):
            return await original(self, *arguments, **options)

    return execute
