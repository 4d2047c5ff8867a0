"""Two hosts without a shared disk follow promotions, over an S3 server and a Redis Cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from models.base import Recommender
from models.registry import registry, switching
from recsys import cli
from recsys.artifacts.store import artifact_store
from recsys.cache.client import connect, servers
from recsys.database.session import unit_of_work
from recsys.settings import get_settings
from serving.batch import scoring
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.running import running
from tests.serving.state.api_hosts import Answer, ApiHost, Requests, api_hosts, health, read
from tests.support import waiting
from tests.support.hosts.object_server import ObjectServer
from tests.support.hosts.redis_cluster import RunningCluster, redis_cluster
from tests.support.shop import Shop

pytestmark = pytest.mark.timeout(900)
"""Three programs load libraries, models and a catalogue first."""
USERS = (1, 5, 12, 18, 23, 27)
PATHS = tuple(
    f"/api/v1/users/{user}/recommendations{question}" for user in USERS for question in ("", "?category=3")
)

until = partial(waiting.until, seconds=120)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    """The masters, whatever the other tests run on."""
    with redis_cluster() as running_cluster:
        yield running_cluster


@pytest.fixture
def trainer(s3_shop: Shop) -> Shop:
    """The host that trains: a scored shop whose model is published."""
    shopping.open_shop(s3_shop.database_url)
    trained(shopping.fit(), "knn-v1")
    switching.promote("knn-v1", actor="test", reason="the first")
    scoring.score()
    return s3_shop


@pytest.fixture
def hosts(trainer: Shop, tmp_path: Path) -> Iterator[list[ApiHost]]:
    """Two API processes, whose vars are empty when they start."""
    environment = {
        "RECSYS_SERVING__DEADLINE_MS": "20000",
        "RECSYS_API__RATE_PER_SECOND": "0",
        "RECSYS_ARTIFACTS__TIMEOUT_SECONDS": "5",
    }
    with api_hosts(("a", "b"), tmp_path, environment) as started:
        yield started


def trained(model: Recommender, name: str) -> registry.RegisteredModel:
    """Save, publish and register a model, as training does."""
    checksum = model.save(registry.artifact_folder(name))
    registry.publish_artifact(name)
    version = int(name.rpartition("-v")[2])
    with unit_of_work() as session:
        return registry.register(
            session,
            registry.Registration(
                name, version, model.kind.value, model.algorithm, checksum, model.dataset_fingerprint_, {},
                0.1, 0.1, 0.1, 1,
            ),
        )  # fmt: skip


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """A command in this process; another one takes a minute to start on a machine that does much else."""
    capsys.readouterr()
    code = cli.run(list(arguments))
    return Done(code, *capsys.readouterr())


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def test_hosts_follow_promotions_under_load_without_a_wrong_answer(
    trainer: Shop, hosts: list[ApiHost]
) -> None:
    trained(shopping.fit("normalised_knn"), "knn-v2")
    expected: dict[object, tuple[int, ...]] = {}
    requests = Requests(hosts, PATHS)

    def note_expected(client: httpx.Client, source: str, model: str) -> None:
        """What the host that trained answers, which reads no copy, once it has followed, too."""

        def answers() -> list[Answer]:
            return [read("trainer", path, 0.0, client.get(path).json()) for path in PATHS]

        until(lambda: any((each.source, each.model) == (source, model) for each in answers()))
        expected.update({each.key: each.products for each in answers()})

    def follow(what: str, change: Callable[[], object], source: str, model: str) -> None:
        change()
        decided = time.monotonic()
        for host in hosts:
            until(lambda host=host: requests.seen(host, decided, source=source, model=model))  # type: ignore[misc]
            moment = requests.seen(host, decided, source=source, model=model)
            assert moment is not None
            say(f"host {host.name} followed {what} after {moment - decided:.2f} s")
        note_expected(client, source, model)

    with running(create_app()) as client, requests.running():
        until(lambda: len(requests.answers) > 100)
        note_expected(client, "stored", "knn-v1")
        reason = {"actor": "test", "reason": "a test"}
        follow("a promotion", lambda: switching.promote("knn-v2", **reason), "live", "knn-v2")
        follow("a scoring", scoring.score, "stored", "knn-v2")
        follow("a rollback", lambda: switching.roll_back(**reason), "stored", "knn-v1")
        follow("a promotion back", lambda: switching.promote("knn-v2", **reason), "stored", "knn-v2")
        for _ in range(2):
            switching.promote("knn-v1", **reason)
            switching.promote("knn-v2", **reason)
        before = len(requests.answers)
        until(lambda: len(requests.answers) > before + 100)
    assert requests.failures == []
    with connect(trainer.redis_url) as client:
        holding = [master for master in servers(client) if master.dbsize()]
        assert len(holding) == 3, "what is stored lies on all masters"
    with trainer.connect() as connection:
        models = dict(
            connection.execute(
                "SELECT id, model_name FROM recommendations_db.recommendation_generations"
            ).fetchall()
        )
    assert {(each.source, each.model) for each in requests.answers} >= {
        (source, model) for source in ("stored", "live") for model in ("knn-v1", "knn-v2")
    }
    for answer in requests.answers:
        if answer.source == "stored":
            assert answer.generation is not None
            assert models[answer.generation] == answer.model
        assert answer.products == expected[answer.key], answer
    say(f"{len(requests.answers)} answers of 2 hosts, none wrong")
    # the last promotion holds on both
    assert [health(host)["model"]["detail"] for host in hosts] == ["knn-v2", "knn-v2"]  # type: ignore[index]


def test_a_model_that_is_damaged_in_the_store_is_not_served_until_it_is_published_again(
    trainer: Shop, hosts: list[ApiHost], s3: ObjectServer, s3_bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = urlsplit(s3_bucket).netloc
    trained(shopping.fit("normalised_knn"), "knn-v2")
    key = next(key for key in s3.keys(bucket) if "knn-v2" in key and key.endswith(".npy"))
    s3.client.put_object(Bucket=bucket, Key=key, Body=b"damaged")
    # not even the host that has it promotes what the others cannot read
    promoted = command(capsys, "train", "promote", "knn-v2", "--reason", "test")
    assert promoted.code == 1
    assert f"{key} in the artifact store {s3_bucket} is damaged" in promoted.err
    with unit_of_work() as session:
        registry.activate(session, "knn-v2")  # as by a program that does not look
    for host in hosts:
        until(lambda host=host: "is damaged" in health(host)["model"]["detail"])  # type: ignore[misc, index]
        about = health(host)["model"]  # type: ignore[index]
        assert about["detail"].startswith("knn-v1 goes on serving")
        assert key in about["detail"]
    found = command(capsys, "doctor")
    assert found.code == 1
    assert "knn-v2 is active, but" in found.out
    artifact_store().publish("models/knn-v2", again=True)
    # hosts look again by themselves, after half a minute
    for host in hosts:
        until(lambda host=host: health(host)["model"]["detail"] == "knn-v2")  # type: ignore[misc, index]


def test_hosts_serve_and_say_so_while_the_store_is_away(
    trainer: Shop,
    hosts: list[ApiHost],
    s3: ObjectServer,
    s3_bucket: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = Requests(hosts, PATHS)
    monkeypatch.setenv("RECSYS_ARTIFACTS__TIMEOUT_SECONDS", "5")
    get_settings.cache_clear()
    s3.pause()
    try:
        with requests.running():
            for host in hosts:
                until(lambda host=host: not health(host)["artifacts"]["well"])  # type: ignore[misc, index]
                detail = health(host)["artifacts"]["detail"]  # type: ignore[index]
                assert detail.startswith("what is on this machine goes on serving: the artifact store")
                assert "test-secret" not in detail
            promoted = command(capsys, "train", "promote", "knn-v1", "--reason", "test")
            assert promoted.code == 1
            assert f"the artifact store {s3_bucket} does not answer" in promoted.err
            doctor = command(capsys, "doctor", "--json")
            assert doctor.code == 1
            assert f"the artifact store {s3_bucket} does not answer" in doctor.out
            for host in hosts:
                metrics = httpx.get(f"{host.url}/metrics", timeout=60).text
                assert 'recsys_server_up{server="artifacts"} 0.0' in metrics
    finally:
        s3.go_on()
    assert requests.failures == []
    assert {each.model for each in requests.answers} == {
        "knn-v1",
        None,
    }  # None: popular products of a category
    for host in hosts:
        until(lambda host=host: health(host)["artifacts"]["well"])  # type: ignore[misc, index]
