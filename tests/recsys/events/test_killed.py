"""Relay and consumers that are killed (SIGKILL) at any point lose no event and apply none twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time

import pytest

from recsys.cache import keys
from recsys.events import relay
from recsys.events.consumer import Consumer
from recsys.events.envelope import open_entry
from recsys.settings import get_settings
from tests.recsys.events import counting
from tests.support import warm
from tests.support.shop import Shop

EVENTS = 400


def _process(*command: str) -> subprocess.Popen[bytes]:
    return warm.start("-m", *command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_processes_lose_nothing_and_repeat_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setenv("RECSYS_EVENTS__TAKEOVER_SECONDS", "0.3")
    monkeypatch.setenv("RECSYS_EVENTS__ATTEMPTS", "100")
    monkeypatch.setenv("RECSYS_EVENTS__BATCH", "40")
    get_settings.cache_clear()
    counting.make_table()
    counting.publish_many(EVENTS)
    chance = random.Random(seed)
    done = 0
    commands = [("recsys", "relay"), ("tests.recsys.events.counting",), ("tests.recsys.events.counting",)]
    running = [_process(*command) for command in commands]
    try:
        for _ in range(2):
            _until(lambda least=done: len(counting.numbers()) > least, 120)
            done = len(counting.numbers())
            time.sleep(chance.random() / 5)
            counting.publish_many(40, first=10_000)
            for place, command in enumerate(commands):
                running[place].send_signal(signal.SIGKILL)
                running[place].wait()
                running[place] = _process(*command)
        _until(lambda: len(counting.numbers()) >= EVENTS + 80, 240)
    finally:
        for process in running:
            process.terminate()
        codes = [process.wait(20) for process in running]
    assert codes[0] == 0, "SIGTERM is a clean end"
    relay.run(threading.Event(), once=True)
    counting.consume_all()
    assert sorted(number for number in counting.numbers() if number < 10_000) == list(range(1, EVENTS + 1))
    assert len(counting.numbers()) == EVENTS + 80


def test_a_relay_killed_before_marking_sends_the_same_ids_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting.make_table()
    counting.publish_many(20)
    program = (
        "import os, signal\nfrom recsys.events import relay\nfrom recsys.cache.client import get_redis\n"
        "import sqlalchemy.orm as orm\nbefore = orm.Session.execute\n"
        "def execute(self, statement, *rest, **more):\n"
        "    if statement is relay._MARK: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return before(self, statement, *rest, **more)\n"
        "orm.Session.execute = execute\nrelay.prepare()\nrelay.relay_batch()\n"
    )
    done = warm.run("-c", program, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert relay.run(threading.Event(), once=True) == 20
    from recsys.cache.client import get_redis

    ids = [open_entry(fields).event_id for _, fields in get_redis().xrange(keys.product_events())]
    assert len(ids) == 40
    assert ids[:20] == ids[20:]
    counting.consume_all()
    assert counting.numbers() == list(range(1, 21))


def test_a_consumer_killed_before_acknowledging_applies_nothing_twice(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_EVENTS__TAKEOVER_SECONDS", "0.1")
    get_settings.cache_clear()
    counting.make_table()
    counting.publish_many(20)
    relay.run(threading.Event(), once=True)
    program = (
        "import os, signal, threading\nfrom tests.recsys.events import counting\n"
        "from recsys.events.consumer import Consumer\n"
        "Consumer._acknowledge = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Consumer(counting.GROUP, counting.SUBSCRIPTIONS).run(threading.Event(), once=True)\n"
    )
    done = warm.run("-c", program, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(counting.numbers()) == 20
    time.sleep(0.2)
    consumer = Consumer(counting.GROUP, counting.SUBSCRIPTIONS)
    assert consumer.run(threading.Event(), once=True) == 20, "delivered again"
    assert sorted(counting.numbers()) == list(range(1, 21))


def test_an_event_that_kills_its_consumers_becomes_a_dead_letter(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys.cache.client import get_redis
    from recsys.events import dead_letters

    monkeypatch.setenv("RECSYS_EVENTS__TAKEOVER_SECONDS", "0.1")
    monkeypatch.setenv("RECSYS_EVENTS__ATTEMPTS", "2")
    get_settings.cache_clear()
    counting.make_table()
    counting.publish_many(1)
    relay.run(threading.Event(), once=True)
    program = (
        "import os, signal, threading\nfrom tests.recsys.events import counting\n"
        "from recsys.events.consumer import Consumer\nfrom recsys.events.vocabulary import ProductCreated\n"
        "deadly = {ProductCreated: (lambda *_: os.kill(os.getpid(), signal.SIGKILL),)}\n"
        "Consumer(counting.GROUP, deadly).run(threading.Event(), once=True)\n"
    )
    for _ in range(2):
        done = warm.run("-c", program, timeout=60)
        assert done.returncode == -signal.SIGKILL
        time.sleep(0.2)
    counting.consume_all()
    (letter,) = dead_letters.letters(get_redis())
    assert (letter.event, letter.tries) == ("product.created", 2)


def _until(what: object, seconds: float) -> None:
    assert callable(what)
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s (process {os.getpid()})"
        time.sleep(0.05)
