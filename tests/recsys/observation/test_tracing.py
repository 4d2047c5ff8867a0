"""Traces: from the request through sources, servers and streams to the consumer, and nothing while off."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import redis
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr, ValidationError
from sqlalchemy import text

from recsys import log
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import unit_of_work
from recsys.events import consumer_groups, relay
from recsys.events.consumer import Consumer
from recsys.events.envelope import open_entry
from recsys.events.publish import announce, publish, publish_all
from recsys.events.vocabulary import CartItemAdded, ProductCreated
from recsys.observation import spans
from recsys.observation.tracing import tracing
from recsys.settings import get_settings
from recsys.settings.tracing import TracingSettings
from serving.server.app import create_app
from tests.recsys.observation.collector import Collector, collecting
from tests.serving.running import running
from tests.support.servers import ROOT
from tests.support.shop import Shop

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the settings name, with a secret header."""
    with collecting() as found:
        monkeypatch.setenv("RECSYS_TRACING__ENDPOINT", found.url)
        monkeypatch.setenv("RECSYS_TRACING__HEADERS", "Authorization=Bearer%20s3cret,X-Org=7")
        get_settings.cache_clear()
        yield found


def test_a_request_is_a_trace_with_its_parts(scored_shop: Shop, collector: Collector) -> None:
    with running(create_app()) as client:
        stored = client.get(
            "/api/v1/users/1/recommendations", headers={"traceparent": PARENT, "X-Request-ID": "a-request-1"}
        )
        live = client.get("/api/v1/users/2/recommendations?category=4", headers={"traceparent": "00-wrong"})
        assert client.get("/api/v1/users/username:nobody/recommendations").status_code == 404
    assert (stored.status_code, live.status_code) == (200, 200)

    root = next(span for span in collector.spans if span.attributes.get("recsys.request_id") == "a-request-1")
    assert root.name == "GET /api/v1/users/{user_id}/recommendations"
    assert (root.trace, root.parent) == (TRACE, "00f067aa0ba902b7")
    assert root.attributes["http.response.status_code"] == "200"
    paths = [collector.path(span)[1:] for span in collector.spans if span.trace == TRACE]
    assert ["source stored"] in paths
    assert ["redis context"] in paths

    other = next(span.trace for span in collector.spans if span.name == "source live" and span.trace != TRACE)
    names = {span.name for span in collector.spans if span.trace == other}
    assert {"source live", "user context", "filters", "rank", "model", "postgresql SELECT"} <= names
    model = next(span for span in collector.spans if span.trace == other and span.name == "model")
    assert collector.path(model)[1:] == ["source live", "rank", "model"]
    assert model.attributes["algorithm"] == "item_knn"

    sent = {(each["authorization"], each["x-org"]) for each in collector.headers}
    assert sent == {("Bearer s3cret", "7")}
    assert b"username:nobody" not in b"".join(collector.raw), "an address may hold a person's id"


def test_a_trace_goes_on_in_the_consumer(shop: Shop, collector: Collector, redis_client: redis.Redis) -> None:
    seen: list[str | None] = []

    def handle(*_: object) -> None:
        seen.append(spans.current_trace_id())

    with tracing("test"):
        with spans.continued("request", PARENT), unit_of_work() as session:
            publish(session, ProductCreated(product_id=1))
        with spans.continued("request", PARENT), unit_of_work() as session:
            from uuid import uuid4

            publish_all(session, [(uuid4(), ProductCreated(product_id=2))])
        with spans.continued("request", PARENT):
            announce(CartItemAdded(user_id=1, product_id=1, quantity=1))
        with unit_of_work() as session:
            stored = session.scalars(text("SELECT traceparent FROM analytics_db.outbox")).all()
        assert [each[3:35] for each in stored] == [TRACE, TRACE]
        relay.run(threading.Event(), once=True)
        consumer = Consumer(consumer_groups.CORE, {ProductCreated: (handle,), CartItemAdded: (handle,)})
        assert consumer.run(threading.Event(), once=True) == 3
    assert seen == [TRACE] * 3
    handled = [span for span in collector.spans if span.name == "handle product.created"]
    assert {span.trace for span in handled} == {TRACE}
    assert handled[0].attributes == {"event": "product.created", "group": consumer_groups.CORE}


def test_a_wrong_traceparent_costs_no_event(shop: Shop, collector: Collector) -> None:
    with unit_of_work() as session:
        publish(session, ProductCreated(product_id=1))
        session.execute(text("UPDATE analytics_db.outbox SET traceparent = '00-not-one'"))
    with tracing("test"):
        relay.run(threading.Event(), once=True)
        (entry,) = get_redis().xrange(keys.product_events())
        assert open_entry(entry[1]).traceparent == "00-not-one"
        consumer = Consumer(consumer_groups.CORE, {ProductCreated: (lambda *_: None,)})
        assert consumer.run(threading.Event(), once=True) == 1
    assert collector.named("handle product.created").parent == ""


def test_logs_have_the_trace_id(collector: Collector, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        log.configure("INFO", json=True)
        with tracing("test"):
            with spans.continued("request", PARENT):
                log.get_logger("tests.tracing").info("inside")
            log.get_logger("tests.tracing").info("outside")
    finally:
        root.handlers, root.level = handlers, level
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    by_event = {line["event"]: line.get("trace_id") for line in lines}
    assert by_event == {"inside": TRACE, "outside": None}


def test_statements_and_commands_without_values(shop: Shop, collector: Collector) -> None:
    with tracing("test"), spans.span("work"):
        with unit_of_work() as session:
            session.execute(text("SELECT :secret"), {"secret": "person@example.org"})
        get_redis().set("user:email:person@example.org", "7")
        with pytest.raises(Exception, match="does_not_exist"), unit_of_work() as session:
            session.execute(
                text("SELECT 1 FROM does_not_exist WHERE 'a' = :one"), {"one": "person@example.org"}
            )
    assert collector.path(collector.named("redis SET")) == ["work", "redis SET"]
    failed = [span for span in collector.spans if span.is_error]
    assert [span.name for span in failed] == ["postgresql SELECT"]
    assert failed[0].attributes["error.type"] == "UndefinedTable"
    assert b"person@example.org" not in b"".join(collector.raw)


def test_a_share_of_the_traces(shop: Shop, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_TRACING__SHARE", "0")
    get_settings.cache_clear()
    with tracing("test"):
        with spans.span("of its own"):
            pass
        with spans.continued("of a caller", PARENT):
            pass
        with spans.continued("of a caller who records nothing", PARENT[:-1] + "0"):
            pass
    assert [span.name for span in collector.spans] == ["of a caller"]


def test_off_no_exporter_is_loaded_and_nothing_is_wrapped() -> None:
    script = """
import sys, redis
execute = redis.Redis.execute_command
from recsys.observation import spans
from recsys.observation.tracing import tracing
import recsys.events.consumer, serving.server.app
with tracing("test"):
    assert redis.Redis.execute_command is execute
    assert spans.span("a") is spans.span("b") is spans.continued("c", None)
    assert spans.current_traceparent() is None
# redis imports the API and the SDK by itself
assert not [name for name in sys.modules if name.startswith("opentelemetry.exporter")]
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_settings_of_traces() -> None:
    settings = TracingSettings(headers=SecretStr("A=b,C=d%2C%20e"))
    assert settings.parsed_headers() == {"a": "b", "c": "d, e"}
    assert "b" not in repr(settings.headers)
    for wrong in ("A", "A=", "=b", "A=b,,"):
        with pytest.raises(ValidationError):
            TracingSettings(headers=SecretStr(wrong))
    with pytest.raises(ValidationError):
        TracingSettings(endpoint="collector:4318")


def test_the_framework_makes_no_spans_of_its_own(scored_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # what a program around this one may have set; FastAPI's spans name addresses, which hold users
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    with running(create_app()) as client:
        assert client.get("/api/v1/users/1/recommendations").status_code == 200
    assert exporter.get_finished_spans() == ()
