"""The log of answers: behind the answer, whatever is away, and whole after a restart."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

from recsys import clock
from recsys.cache import client as cache
from recsys.domains.recommendations.impressions.store import Answered, recall
from recsys.settings import get_settings
from recsys.web.metrics import REGISTRY
from recsys.write_buffer import drain, spool
from serving.server.app import create_app
from serving.state.impression_log import ImpressionLog
from tests.serving.api.answers import ask, ids
from tests.serving.running import running
from tests.serving.state.impressions import bring_in
from tests.support import warm
from tests.support.shop import Shop, forget_connections


def answered(number: int, shelf: str = "for_you") -> Answered:
    products = list(range(number, number + 20))
    return Answered(
        f"request-{number}", shelf, "live", products, [0.25] * 20, clock.now(), session_id="visit"
    )


def stored(shop: Shop) -> list[tuple[Any, ...]]:
    with shop.connect() as connection:
        return connection.execute(
            "SELECT request_id, shelf, product_ids[1], session_id FROM recommendations_db.exposures "
            "ORDER BY 1, 2"
        ).fetchall()


def dropped(registry: CollectorRegistry = REGISTRY) -> float:
    return registry.get_sample_value("recsys_exposures_dropped_total") or 0.0


def use(shop: Shop, work: Callable[[ImpressionLog], Awaitable[object]], **options: Any) -> None:
    """Do `work` with a log that runs, and end it."""

    async def run() -> None:
        async with ImpressionLog(seconds=0.01, **options) as log:
            await work(log)

    asyncio.run(asyncio.wait_for(run(), 60))


async def until(holds: Callable[[], object]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


@pytest.fixture
def no_redis(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The shop with an address of Redis where nobody answers; the call makes it the true one."""
    monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1/0")
    forget_connections()

    def come_back() -> None:
        monkeypatch.setenv("RECSYS_REDIS__URL", shop.redis_url)
        cache.close()
        get_settings.cache_clear()

    return come_back


def test_what_is_noted_is_in_redis_soon_and_then_in_postgresql_once(
    shop: Shop, redis_client: redis.Redis
) -> None:
    async def work(log: ImpressionLog) -> None:
        for number in range(3):
            log.note(answered(number), answered(number, "popular"))
        await until(lambda: redis_client.xlen("exposures:waiting"))
        assert len(recall(redis_client, ["request-0", "request-2"])["request-2"]) == 2
        log.note(answered(3))  # and the last one is flushed at the end

    use(shop, work)
    bring_in()
    wanted = [(f"request-{n}", shelf, n, "visit") for n in range(3) for shelf in ("for_you", "popular")]
    assert stored(shop) == [*wanted, ("request-3", "for_you", 3, "visit")]
    assert redis_client.xlen("exposures:waiting") == 0
    bring_in()
    assert len(stored(shop)) == 7


def test_a_crash_between_storing_and_removing_stores_nothing_twice(
    shop: Shop, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(log: ImpressionLog) -> None:
        log.note(answered(1))

    use(shop, work)
    (entry,) = redis_client.xrange("exposures:waiting")
    bring_in()
    redis_client.xadd("exposures:waiting", entry[1])
    bring_in()
    assert len(stored(shop)) == 1


def test_without_redis_they_wait_on_disk_and_move_on_when_it_is_back(
    shop: Shop, no_redis: Callable[[], None], redis_client: redis.Redis
) -> None:
    async def work(log: ImpressionLog) -> None:
        files = spool.of_process("exposures")
        log.note(answered(1))
        await until(files.waiting)
        log.note(answered(2))
        no_redis()
        await until(lambda: not files.waiting())

    use(shop, work)
    assert redis_client.xlen("exposures:waiting") >= 1
    bring_in()
    assert [row[0] for row in stored(shop)] == ["request-1", "request-2"]


def test_what_an_ended_process_left_on_disk_is_stored_even_while_redis_stays_away(
    shop: Shop, no_redis: Callable[[], None]
) -> None:
    script = (
        "import asyncio, time\nfrom serving.state.impression_log import ImpressionLog\n"
        "from tests.serving.state.test_impression_log import answered\n"
        "async def run():\n async with ImpressionLog() as log:\n"
        "  log.note(answered(1), answered(1, 'popular'))\n  log.note(answered(2))\n"
        "  await log.flush()\n  print('flushed', flush=True)\n  time.sleep(60)\n"
        "asyncio.run(run())"
    )
    with warm.start("-c", script, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert "flushed\n" in iter(child.stdout.readline, "")
        intake_of_another(shop)
        assert stored(shop) == [], "a file is drained only when its process lets go"
        os.kill(child.pid, signal.SIGKILL)
    (left,) = (shop.var / "spool" / "exposures").iterdir()
    with left.open("ab") as file:
        file.write(b'[["torn')
    intake_of_another(shop)
    assert [row[:2] for row in stored(shop)] == [
        ("request-1", "for_you"),
        ("request-1", "popular"),
        ("request-2", "for_you"),
    ]
    assert not left.exists()


def intake_of_another(shop: Shop) -> None:
    """A turn that finds no Redis."""
    with pytest.raises(redis.RedisError):
        drain.turn()


def test_when_nothing_takes_them_memory_is_bounded_and_what_is_lost_is_counted(
    shop: Shop, no_redis: Callable[[], None]
) -> None:
    (shop.var / "spool").write_text("where the folder should be")
    before = dropped()

    async def work(log: ImpressionLog) -> None:
        for number in range(15):
            log.note(answered(number))
        await log.flush()
        for number in range(15, 18):
            log.note(answered(number))
        assert dropped() - before == 8
        (shop.var / "spool").unlink()
        await log.flush()
        log.note(answered(99))

    use(shop, work, max_lists=10)
    no_redis()
    bring_in()
    assert sorted(row[2] for row in stored(shop)) == [*range(10), 99]
    assert dropped() - before == 8


def test_a_full_stream_is_left_alone_until_it_was_read(
    shop: Shop, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_settings().intake, "stream_entries", 2)

    async def work(log: ImpressionLog) -> None:
        for number in range(4):
            log.note(answered(number))
            await log.flush()

    use(shop, work)
    assert redis_client.xlen("exposures:waiting") == 2
    assert spool.of_process("exposures").waiting()
    bring_in()
    assert len(stored(shop)) == 4


def test_a_disk_that_is_full_refuses_and_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_settings().intake, "spool_mib", 100 / 2**20)
    files = spool.Spool(shop.var / "spool" / "test")
    files.append([b"x" * 60])
    with pytest.raises(spool.Full, match="spool_mib"):
        files.append([b"x" * 60])
    taken: list[bytes] = []
    assert files.drain(taken.extend) == 1
    files.append([b"y" * 60])
    assert files.drain(taken.extend) == 1
    assert taken == [b"x" * 60, b"y" * 60]


def test_lists_that_can_not_be_stored_hold_up_no_other(shop: Shop, redis_client: redis.Redis) -> None:
    long = "x" * 51
    odd = [answered(1), answered(2)._replace(shelf=long), answered(3), answered(4)._replace(products=[2**40])]
    before = dropped()

    async def work(log: ImpressionLog) -> None:
        log.note(*odd)
        await log.flush()
        log.note(answered(5)._replace(products={1, 2}))  # type: ignore[arg-type]  # no list at all
        await log.flush()
        log.note(answered(6))

    use(shop, work)
    redis_client.xadd("exposures:waiting", {"data": b"no batch"})
    bring_in()
    assert [row[0] for row in stored(shop)] == ["request-1", "request-3", "request-6"]
    assert dropped() - before == 1
    reasons = " ".join(letter["reason"] for letter in drain.dead_letters())
    assert "too long" in reasons
    assert "not a batch" in reasons
    assert len(drain.dead_letters()) == 3


def test_the_command_brings_in_what_waits(shop: Shop, redis_client: redis.Redis) -> None:
    async def work(log: ImpressionLog) -> None:
        log.note(answered(1))

    use(shop, work)
    redis_client.xadd("posts:waiting", {"data": b"nonsense"})
    done = shop.run("serve", "intake", "--once", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout == '{"moved": 2}\n'
    assert len(stored(shop)) == 1
    assert "posts:waiting" in shop.run("serve", "intake", "--dead").stdout


def test_the_file_is_for_nobody_else_to_read(shop: Shop) -> None:
    files = spool.Spool(shop.var / "spool" / "test")
    files.append([b"1"])
    modes = {oct(Path(file).stat().st_mode & 0o777) for file in (shop.var / "spool" / "test").iterdir()}
    files.close()
    assert modes == {"0o600"}


def test_an_answer_and_the_feedback_on_it_meet_in_postgresql_after_a_restart(scored_shop: Shop) -> None:
    with running(create_app()) as client:
        first = ask(client, 1, limit=3)
        answer = ask(client, 1, limit=5, cursor=first["next_cursor"])
        second = ids(answer)[1]
        event = {
            "request_id": answer["provenance"]["request_id"],
            "product_id": second,
            "feedback_type": "dismissed",
            "user_id": 1,
        }
        # whether its answer is on its way to Redis or there
        sent = client.post("/api/v1/recommendations/feedback", json=event)
        assert sent.status_code in (200, 202), sent.text
        for novelty in ("any", "new"):
            assert second not in ids(ask(client, 1, limit=100, novelty=novelty))
    bring_in()
    with scored_shop.connect() as connection:
        row = connection.execute(
            "SELECT user_id, product_ids, model, generation, source FROM recommendations_db.exposures "
            "WHERE request_id = %s",
            [event["request_id"]],
        ).fetchone()
        linked = connection.execute(
            "SELECT e.position, e.model, r.user_id, r.product_id "
            "FROM recommendations_db.recommendation_feedback f "
            "JOIN recommendations_db.feedback_exposures e ON e.feedback_id = f.id "
            "JOIN recommendations_db.product_recommendations r ON r.id = f.recommendation_id"
        ).fetchall()
    assert row == (1, ids(answer), "knn-v1", 1, "stored")
    assert linked == [(5, "knn-v1", 1, second)], "the second of this page, the fifth of its list"
