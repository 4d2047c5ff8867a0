"""A shop on several hosts with one store of artifacts: training, reports, erasure, backup and doctor."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from features.build import snapshots
from models.registry import registry
from models.registry.report_paths import report_path
from recsys.artifacts.store import artifact_store
from recsys.backup import creation, restoration
from recsys.database.session import unit_of_work
from recsys.diagnosis import doctor
from recsys.diagnosis.finding import Finding
from recsys.errors import Invalid, NotFound
from recsys.privacy import erasure, trained_models
from recsys.settings import get_settings
from tests.recsys.backup.conftest import Target, target
from tests.serving import shopping
from tests.support.hosts.object_server import ObjectServer
from tests.support.shop import Shop, forget_connections

__all__ = ["target"]

pytestmark = pytest.mark.timeout(900)
Elsewhere = Callable[[str], AbstractContextManager[Path]]


@pytest.fixture
def elsewhere(s3_shop: Shop, tmp_path: Path) -> Elsewhere:
    """Go on as another host, whose var is empty at first."""

    @contextmanager
    def on(name: str) -> Iterator[Path]:
        before = os.environ["RECSYS_VAR"]
        os.environ["RECSYS_VAR"] = str(tmp_path / name)
        get_settings.cache_clear()
        try:
            yield tmp_path / name
        finally:
            os.environ["RECSYS_VAR"] = before
            get_settings.cache_clear()

    return on


@pytest.fixture
def trained(s3_shop: Shop) -> Shop:
    """The host that trains has trained by the command."""
    shopping.open_shop(s3_shop.database_url)
    done = s3_shop.run("train", "run", "popularity", timeout=600)
    assert done.returncode == 0, done.stderr
    return s3_shop


def findings() -> dict[str, Finding]:
    return {each.part: each for each in doctor.examine(get_settings())}


def test_another_host_reads_models_reports_and_snapshots(trained: Shop, elsewhere: Elsewhere) -> None:
    names = artifact_store().names()
    run = next(name for name in names if name.endswith("report.html")).split("/")[1]
    fingerprint = snapshots.current_record(get_settings())["fingerprint"]
    assert names == [
        f"datasets/{fingerprint[:16]}",
        "datasets/current.json",
        "models/popularity-v1",
        f"reports/{run}/figures",
        f"reports/{run}/report.html",
        f"reports/{run}/report.json",
    ]
    with unit_of_work() as session:
        model = registry.get(session, "popularity-v1")
    page = report_path(model).read_bytes()
    with elsewhere("b") as var:
        with unit_of_work() as session:
            copied = registry.get(session, "popularity-v1")
        assert copied.folder.is_relative_to(var)
        assert registry.load(copied).dataset_fingerprint_ == fingerprint
        assert report_path(copied).read_bytes() == page
        assert snapshots.current(get_settings()).fingerprint == fingerprint
        found = trained.run("train", "run", "popularity", "--if-needed", timeout=600)
        assert found.returncode == 0, found.stderr
        assert "popularity-v1 serves" in found.stdout + found.stderr
        again = trained.run("train", "run", "popularity", timeout=600)
        assert again.returncode == 0, again.stderr
    with unit_of_work() as session:
        registry.load(registry.get(session, "popularity-v2"))  # the first host fetches what the second made
    assert artifact_store().unpublished() == []


def test_what_an_erasure_withdraws_is_gone_on_every_host(trained: Shop, elsewhere: Elsewhere) -> None:
    user = 5
    settings = get_settings()
    snapshot = f"datasets/{snapshots.current_record(settings)['folder']}"
    page = next(name for name in artifact_store().names("reports") if name.endswith(".html"))
    # as programs before version 0030 wrote them
    figures = settings.var / "reports" / "former" / "figures"
    figures.mkdir(parents=True)
    np.save(figures / "users.all.npy", np.array([user]))
    artifact_store().publish("reports/former/figures")
    with elsewhere("b") as b:
        snapshots.current(get_settings())
        artifact_store().fetch(page)
    with elsewhere("c") as c:
        # a host that has copied nothing
        assert {each.place: each.count for each in erasure.preview(user)}["artifact store"] > 0
        receipt = erasure.erase(user, by=None, requested_by="test")
        assert not receipt.notes
        assert [each.name for each in receipt.models] == ["popularity-v1"]
        assert {each.place: each.count for each in erasure.preview(user)}["artifact store"] == 0
        assert snapshot not in artifact_store().names()
        assert not {"datasets/current.json", "reports/former/figures"} & set(artifact_store().names())
        with pytest.raises(NotFound):
            snapshots.current(get_settings())
        assert not list(c.glob("datasets/*/users.npy"))
    with elsewhere("b"):
        removed = artifact_store().sweep()
        assert {snapshot, "datasets/current.json"} <= set(removed)
        assert not list(b.glob("datasets/*/users.npy"))
        content = artifact_store().fetch(page).read_text()
        assert f"User {user}," not in content
    # the host that trained keeps no copy either
    artifact_store().prepare()
    assert not (settings.var / snapshot).exists()
    done = trained.run("train", "run", "popularity", "--rebuild", timeout=600)
    assert done.returncode == 0, done.stderr
    with unit_of_work() as session:
        registry.activate(session, "popularity-v2", action="promote", actor="test", reason="test")
    with elsewhere("c"), unit_of_work() as session:
        assert trained_models.delete_replaced(session) == ["popularity-v1"]
    assert "models/popularity-v1" not in artifact_store().names()
    assert artifact_store().sweep() == ["models/popularity-v1"]
    users = np.load(
        artifact_store().fetch(f"datasets/{snapshots.current_record(settings)['folder']}") / "users.npy"
    )
    assert user not in users


def test_a_backup_of_any_host_has_what_is_published_and_a_restore_publishes_it(
    trained: Shop,
    elsewhere: Elsewhere,
    tmp_path: Path,
    s3: ObjectServer,
    s3_bucket: str,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {name: artifact_store().manifest(name).files for name in artifact_store().names()}
    with elsewhere("b"):
        manifest = creation.create(get_settings(), tmp_path / "backup")
    saved = {each.path for each in manifest.files}
    for name, files in before.items():
        for file in files:
            assert "/".join(filter(None, ("var", name, file.path))) in saved
    for name, value in target.environment.items():
        monkeypatch.setenv(name, value)
    forget_connections()
    with pytest.raises(Invalid, match=r"has datasets/.* already; restore with"):
        restoration.restore(get_settings(), tmp_path / "backup")
    bucket = urlsplit(s3_bucket).netloc
    for key in s3.keys(bucket):
        s3.client.delete_object(Bucket=bucket, Key=key)
    artifact_store().publish_from("models/stranger-v1", tmp_path / "backup" / "manifest.json")
    restoration.restore(get_settings(), tmp_path / "backup", overwrite=True)
    forget_connections()
    assert {name: artifact_store().manifest(name).files for name in artifact_store().names()} == before
    with elsewhere("last"), unit_of_work() as session:
        registry.load(registry.get(session, "popularity-v1"))
    forget_connections()


def test_doctor_says_what_is_wrong_with_the_store(
    trained: Shop, elsewhere: Elsewhere, s3: ObjectServer, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = findings()
    assert found["artifact store"].found.startswith(f"{s3_bucket} answers; ")
    assert {found[part].state for part in ("artifact store", "model", "artifacts")} == {"ok"}
    with elsewhere("b"):
        # nothing is copied, all is judged
        assert {findings()[part].state for part in ("artifact store", "model", "artifacts")} == {"ok"}
        assert "is missing" not in findings()["features"].found
    bucket = urlsplit(s3_bucket).netloc
    key = next(key for key in s3.keys(bucket) if "models/popularity-v1" in key and key.endswith(".npy"))
    s3.client.put_object(Bucket=bucket, Key=key, Body=b"damaged")
    found = findings()
    assert (found["model"].state, key in found["model"].found) == ("broken", True)
    s3.client.delete_object(Bucket=bucket, Key="manifests/models/popularity-v1.json")
    found = findings()
    assert found["model"].state == "broken"
    assert found["artifact store"].state == "attention"
    assert found["artifact store"].found.endswith("lacks what is on this machine: models/popularity-v1")
    published = trained.run("artifacts", "publish", "--json")
    assert json.loads(published.stdout)["published"] == ["models/popularity-v1"]
    assert findings()["model"].state == "ok"
    listed = json.loads(trained.run("artifacts", "list", "--json").stdout)
    assert "models/popularity-v1" in [each["name"] for each in listed["artifacts"]]
    verified = trained.run("artifacts", "verify")
    assert (verified.returncode, "are whole" in verified.stdout) == (0, True)
    assert trained.run("artifacts", "clean").returncode == 0
    monkeypatch.setenv("RECSYS_ARTIFACTS__ADDRESS", "s3://no-such-bucket")
    get_settings.cache_clear()
    assert findings()["artifact store"].state == "broken"
    assert "no such bucket" in findings()["artifact store"].found
    refused = trained.run("train", "run", "popularity")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "s3://no-such-bucket has no such bucket" in refused.stderr


@pytest.mark.parametrize(
    "address",
    ["s3://key:test-secret@bucket", "http://host", "s3:bucket", "/folder", "s3://bucket?key=test-secret"],
)
def test_an_address_with_credentials_or_of_another_kind_is_refused_without_repeating_it(
    shop: Shop, address: str
) -> None:
    refused = shop.run("artifacts", "list", RECSYS_ARTIFACTS__ADDRESS=address)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "RECSYS_ARTIFACTS__ADDRESS" in refused.stderr
    assert "expected s3://bucket/prefix" in refused.stderr
    assert "test-secret" not in refused.stderr
    unset = shop.run("artifacts", "list")
    assert (unset.returncode, unset.stderr.count("\n")) == (2, 1)
