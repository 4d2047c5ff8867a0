"""A collector of traces on loopback: it takes OTLP over HTTP and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Collector", "ReceivedSpan", "collecting"]


@dataclass(frozen=True)
class ReceivedSpan:
    """One exported span; ids are hexadecimal, attributes are text."""

    name: str
    trace: str
    span: str
    parent: str
    attributes: dict[str, str]
    is_error: bool


@dataclass
class Collector:
    """What was exported to `url`."""

    url: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def named(self, name: str) -> ReceivedSpan:
        """The only span of a name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def path(self, span: ReceivedSpan) -> list[str]:
        """The names from the outermost span to this one."""
        by_id = {each.span: each for each in self.spans}
        names = [span.name]
        while span.parent in by_id:
            span = by_id[span.parent]
            names.append(span.name)
        return names[::-1]

    def take(self, body: bytes) -> None:
        """Keep the spans of one request."""
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for each in scope.spans:
                    attributes = {
                        pair.key: pair.value.string_value or str(pair.value.int_value)
                        for pair in each.attributes
                    }
                    self.spans.append(
                        ReceivedSpan(
                            each.name,
                            each.trace_id.hex(),
                            each.span_id.hex(),
                            each.parent_span_id.hex(),
                            attributes,
                            each.status.code == each.status.STATUS_CODE_ERROR,
                        )
                    )


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector inside the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            collector.take(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
