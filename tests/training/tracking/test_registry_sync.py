"""MLflow's model registry agrees with PostgreSQL after each operation, and after a crash in each."""

from __future__ import annotations

import signal
import textwrap
from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from sqlalchemy import delete

from models.registry import registry
from recsys.cli import run
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.tables import RecommendationModel
from tests.support import warm
from tests.support.shop import Shop
from training.tracking import registry_sync
from training.tracking.registry_sync import ALIAS, OWNER, reconcile

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow uses what SQLAlchemy and pydantic call deprecated


@pytest.fixture
def client(shop: Shop, migrated_store: None) -> MlflowClient:
    """The shop's own store, empty."""
    return MlflowClient(tracking_uri=f"sqlite:///{shop.var.resolve() / 'mlflow' / 'mlflow.db'}")


def add(name: str, *, active: bool = False, gate: str = "hold") -> None:
    """A registered version without an artifact: the mirror looks at rows alone."""
    family, _, number = name.rpartition("-v")
    with unit_of_work() as session:
        registry.register(
            session,
            registry.Registration(
                name=name,
                version=int(number),
                type="collaborative_filtering",
                algorithm=family,
                checksum=(name.encode().hex() * 8)[:64],
                dataset="d" * 64,
                parameters={"gate": {"action": gate, "reason": "planted"}},
                accuracy=0.5,
                precision=0.1,
                recall=0.2,
                events=10,
            ),
        )
        if active:
            registry.activate(session, name, reason="planted")


def agree(client: MlflowClient) -> bool:
    """Whether MLflow says exactly what PostgreSQL says: versions, checksums, gates and the champion."""
    with unit_of_work() as session:
        models = registry.list_models(session)
    ours = {(m.name, m.checksum, m.parameters["gate"]["action"], m.is_active) for m in models}
    champions = {
        (model.name, int(model.aliases[ALIAS]))
        for model in client.search_registered_models()
        if ALIAS in model.aliases
    }
    theirs = {
        (
            f"{version.name}-v{version.version}",
            version.tags["recsys.checksum"],
            version.tags["recsys.gate"],
            (version.name, int(version.version)) in champions,
        )
        for version in client.search_model_versions()
        if version.tags["recsys.name"] == f"{version.name}-v{version.version}"
    }
    return ours == theirs and len(client.search_model_versions()) == len(models)


def test_it_follows_registering_promoting_holding_and_rolling_back(shop: Shop, client: MlflowClient) -> None:
    add("als-v1", active=True, gate="promote")
    add("item_knn-v1")
    assert not agree(client)
    assert reconcile().problem == ""
    assert agree(client)
    assert client.get_registered_model("als").aliases == {ALIAS: 1}

    add("als-v2", active=True, gate="promote")  # a newer version of the same experiment
    assert reconcile().changes == 2
    assert agree(client)

    with unit_of_work() as session:  # another experiment's model
        registry.activate(session, "item_knn-v1", action="promote", reason="forced")
    assert reconcile().changes == 2
    assert agree(client)
    assert client.get_registered_model("als").aliases == {}

    assert (
        run(["train", "hold", "als-v2", "--reason", "by hand"]) == 0
    )  # the command itself brings it in step
    assert agree(client)
    assert reconcile().changes == 0

    with unit_of_work() as session:
        registry.activate(session, "als-v1", action="rollback", reason="back")
    assert reconcile().changes == 2
    assert agree(client)


def test_nothing_is_opened_when_both_agree_and_a_hand_in_mlflow_is_noticed(
    shop: Shop, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("als-v1", active=True, gate="promote")
    assert reconcile().changes > 0
    client.delete_registered_model_alias("als", ALIAS)
    assert not agree(client)
    assert reconcile().changes == 1
    assert agree(client)

    def refuse(uri: str) -> None:
        raise AssertionError("MLflow was opened")

    monkeypatch.setattr(registry_sync, "open_client", refuse)
    assert reconcile() == registry_sync.Mirrored(reconcile().uri)


def test_gaps_vanished_rows_and_numbers_that_were_used_up(shop: Shop, client: MlflowClient) -> None:
    add("als-v1", gate="promote", active=True)
    add("als-v4")  # 2 and 3 are gone from ours
    assert reconcile().problem == ""
    assert agree(client)
    with unit_of_work() as session:
        session.execute(delete(RecommendationModel).where(RecommendationModel.name == "als-v4"))
    assert reconcile().problem == ""
    assert agree(client)
    add("als-v2")  # MLflow counts on from 4, so the family is written again
    assert reconcile().problem == ""
    assert agree(client)


def test_somebody_elses_model_is_left_alone_and_reported(shop: Shop, client: MlflowClient) -> None:
    client.create_registered_model("als", tags={"team": "search"})
    add("als-v1", active=True, gate="promote")
    outcome = reconcile()
    assert "als that recsys did not make" in outcome.problem
    assert client.search_model_versions() == []
    assert OWNER not in client.get_registered_model("als").tags


def test_a_store_that_fails_breaks_no_command_and_is_reported(
    shop: Shop, client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    add("als-v1", active=True, gate="promote")
    (shop.var / "mlflow" / "mlflow.db").write_bytes(
        b"this is no database, and long enough to be seen as none"
    )
    assert run(["train", "list", "--json"]) == 0
    captured = capsys.readouterr()
    assert "als-v1" in captured.out
    assert "MLflow's registry was not brought in step" in captured.err
    assert run(["train", "hold", "als-v1", "--reason", "try"]) == 0


def _register() -> None:
    add("als-v3")


def _promote() -> None:
    with unit_of_work() as session:
        registry.activate(session, "item_knn-v1", reason="planted")


def _hold() -> None:
    with unit_of_work() as session:
        registry.annotate(session, "als-v2", {"gate": {"action": "hold", "reason": "planted"}})


def _rollback() -> None:
    with unit_of_work() as session:
        registry.activate(session, "als-v1", action="rollback", reason="planted")


DYING = textwrap.dedent("""
    import os, signal, sys
    from mlflow import MlflowClient
    from training.tracking.registry_sync import reconcile
    left = int(sys.argv[1])
    def dying(real):
        def call(*arguments, **options):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)
        return call
    for name in ("create_registered_model", "create_model_version", "delete_model_version",
                 "set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias"):
        setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))
    reconcile()
""")


@pytest.mark.parametrize(
    ("operation", "writes"),
    [(_register, 0), (_promote, 1), (_hold, 0), (_rollback, 0)],
)
def test_a_process_killed_between_the_two_stores_is_made_good_by_the_next_list(
    shop: Shop,
    client: MlflowClient,
    operation: Callable[[], None],
    writes: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add("als-v1", gate="promote")
    add("als-v2", active=True, gate="promote")
    add("item_knn-v1")
    assert reconcile().problem == ""
    operation()
    died = warm.run("-c", DYING, str(writes), timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not agree(client)
    assert run(["train", "list"]) == 0
    assert "Warning" not in capsys.readouterr().err
    assert agree(client)
