"""Subscriptions of the tests: each handled event is a row of `public.handled`; some fail on purpose."""

from __future__ import annotations

import threading
import time

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.events import consumer_groups
from recsys.events.consumer import Consumer
from recsys.events.envelope import Envelope
from recsys.events.publish import publish
from recsys.events.vocabulary import CartItemAdded, Event, PriceChanged, ProductCreated, ProductLiked

GROUP = "tests"


def record(session: Session, envelope: Envelope) -> None:
    number = getattr(envelope.event, "product_id", 0)
    session.execute(
        text("INSERT INTO public.handled (event_id, number) VALUES (:event_id, :number)"),
        {"event_id": envelope.event_id, "number": number},
    )
    time.sleep(0.001)


def fail(session: Session, envelope: Envelope) -> None:
    record(session, envelope)
    raise ValueError("this handler always fails")


SUBSCRIPTIONS = {ProductCreated: (record,), CartItemAdded: (record,), ProductLiked: (fail,)}


def make_table() -> None:
    with unit_of_work() as session:
        # no key: an event that is applied twice is seen, not refused
        session.execute(text("CREATE TABLE public.handled (event_id uuid, number integer, at serial)"))


def publish_many(count: int, *, first: int = 1) -> None:
    for start in range(first, first + count, 100):
        with unit_of_work() as session:
            for number in range(start, min(start + 100, first + count)):
                publish(session, ProductCreated(product_id=number))


def publish_one(event: Event) -> None:
    with unit_of_work() as session:
        publish(session, event)


def numbers() -> list[int]:
    with unit_of_work() as session:
        return list(session.scalars(text("SELECT number FROM public.handled ORDER BY at")))


def consume_all() -> int:
    return Consumer(GROUP, SUBSCRIPTIONS).run(threading.Event(), once=True)


def main() -> None:
    """A consumer as a process of its own, until it is killed."""
    Consumer(GROUP, SUBSCRIPTIONS).run(threading.Event())


__all__ = [
    "GROUP",
    "SUBSCRIPTIONS",
    "PriceChanged",
    "consume_all",
    "consumer_groups",
    "make_table",
    "numbers",
    "publish_many",
]

if __name__ == "__main__":
    main()
