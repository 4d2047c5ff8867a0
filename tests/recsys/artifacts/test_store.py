from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.artifacts.manifest import ArtifactManifest, checked_name
from recsys.artifacts.store import ArtifactStore
from recsys.errors import Invalid, NotFound, Unavailable
from tests.recsys.artifacts.conftest import Host
from tests.recsys.artifacts.names import NAME
from tests.support.hosts.object_server import ObjectServer


def made(store: ArtifactStore, name: str = NAME, **files: bytes) -> Path:
    """An artifact on a host: a folder with these files and one below, or a file."""
    path = store.path(name)
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files["content"])
        return path
    for file, content in {"model.json": b"{}", "below/users.npy": b"\0" * 3000, **files}.items():
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_bytes(content)
    return path


def content_of(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return {each.relative_to(path).as_posix(): each.read_bytes() for each in files}


def test_another_host_reads_what_was_published(address: str, host: Host) -> None:
    one, two = host("one", address), host("two", address)
    folder = made(one)
    report = made(one, "reports/run/report.html", content=b"<p>")
    with pytest.raises(NotFound):
        two.fetch(NAME)
    for name in (NAME, "reports/run/report.html"):
        one.publish(name)
    assert two.names() == [NAME, "reports/run/report.html"]
    assert two.names("reports") == ["reports/run/report.html"]
    assert two.fetch(NAME) == two.path(NAME)
    assert content_of(two.path(NAME)) == content_of(folder)
    assert two.fetch("reports/run/report.html").read_bytes() == report.read_bytes()
    assert two.verify(NAME) == one.manifest(NAME)


def test_without_an_address_var_is_the_store(host: Host) -> None:
    store = host("one", None)
    folder = made(store)
    before = content_of(folder)
    store.publish(NAME)
    store.check()
    assert store.fetch(NAME) == folder
    assert content_of(folder) == before
    assert not (folder.parents[1] / "run" / "artifacts").exists()
    with pytest.raises(Invalid, match="RECSYS_ARTIFACTS__ADDRESS is not set"):
        store.names()


def test_a_new_publication_replaces_the_former_in_every_cache(address: str, host: Host) -> None:
    one, two = host("one", address), host("two", address)
    made(one)
    one.publish(NAME)
    former = one.manifest(NAME).content
    two.fetch(NAME)
    made(one, **{"model.json": b'{"is": "new"}', "more.npy": b"1"})
    one.publish(NAME)
    assert one.manifest(NAME).content != former
    assert content_of(two.fetch(NAME)) == content_of(one.path(NAME))
    assert not any(former in path for path in one._remote.sizes("files"))


def test_publishing_the_same_again_writes_nothing(address: str, host: Host) -> None:
    one = host("one", address)
    made(one)
    one.publish(NAME)
    before = one.manifest(NAME)
    one.publish(NAME)
    assert one.manifest(NAME) == before
    one.publish(NAME, again=True)
    assert one.manifest(NAME).content != before.content
    assert one.verify(NAME).is_same_content(before)


def test_a_withdrawn_artifact_is_gone_from_the_store_and_swept_from_every_cache(
    address: str, host: Host
) -> None:
    one, two = host("one", address), host("two", address)
    for name in (NAME, "models/als-v2"):
        made(one, name)
        one.publish(name)
        two.fetch(name)
    unpublished = made(two, "models/own-v1")
    one.withdraw(NAME)
    assert one.names() == ["models/als-v2"]
    assert not one.path(NAME).exists()
    assert not any(NAME in path for path in one._remote.sizes("files"))
    assert two.sweep() == [NAME]
    assert not two.path(NAME).exists()
    assert two.path("models/als-v2").is_dir()
    assert unpublished.is_dir()
    assert two.sweep() == []


def test_only_the_own_publication_is_withdrawn_after_a_failure(address: str, host: Host) -> None:
    one, two = host("one", address), host("two", address)
    made(one)
    made(two, **{"model.json": b"other"})
    one.publish(NAME)
    two.publish(NAME)
    one.withdraw(NAME, only_own=True)
    assert not one.path(NAME).exists()
    assert content_of(one.fetch(NAME)) == content_of(two.path(NAME))
    two.withdraw(NAME, only_own=True)
    assert two.names() == []


def test_an_empty_folder_in_place_of_the_store_removes_no_copy(tmp_path: Path, host: Host) -> None:
    """A disk that is not mounted looks like a store from which all was withdrawn."""
    shared = tmp_path / "shared"
    shared.mkdir()
    one = host("one", f"file://{shared}")
    made(one)
    one.publish(NAME)
    shared.rename(tmp_path / "elsewhere")
    shared.mkdir()
    assert one.sweep() == []
    assert one.path(NAME).is_dir()
    shared.rmdir()
    with pytest.raises(Unavailable, match="has no such folder"):
        one.check()
    with pytest.raises(Unavailable, match="has no such folder"):
        one.publish(NAME)


@pytest.mark.parametrize("damage", ["changed", "shorter", "missing"])
def test_a_damaged_object_is_refused_and_named(
    s3_bucket: str, s3: ObjectServer, host: Host, damage: str
) -> None:
    one, two = host("one", s3_bucket), host("two", s3_bucket)
    made(one)
    one.publish(NAME)
    name = urlsplit(s3_bucket).netloc
    key = next(key for key in s3.keys(name) if key.endswith("users.npy"))
    if damage == "missing":
        s3.client.delete_object(Bucket=name, Key=key)
    else:
        s3.client.put_object(Bucket=name, Key=key, Body=b"\1" * 3000 if damage == "changed" else b"\0" * 9)
    with pytest.raises(Invalid, match=rf"{key}.*(is damaged|is missing).*publish it again"):
        two.fetch(NAME)
    assert not two.path(NAME).exists()
    assert list(two.path(NAME).parent.iterdir()) == []
    with pytest.raises(Invalid, match=r"users\.npy"):
        two.verify(NAME)
    one.publish(NAME, again=True)
    assert content_of(two.fetch(NAME)) == content_of(one.path(NAME))


def test_a_damaged_manifest_is_refused_and_named(s3_bucket: str, s3: ObjectServer, host: Host) -> None:
    one, two = host("one", s3_bucket), host("two", s3_bucket)
    made(one)
    one.publish(NAME)
    name = urlsplit(s3_bucket).netloc
    key = f"manifests/{NAME}.json"
    document = json.loads(s3.client.get_object(Bucket=name, Key=key)["Body"].read())
    document["manifest"]["files"][0]["size"] += 1
    for body in (json.dumps(document).encode(), b"", b"[]", b"\xff"):
        s3.client.put_object(Bucket=name, Key=key, Body=body)
        with pytest.raises(Invalid, match=f"the manifest of {NAME}"):
            two.fetch(NAME)
    one.publish(NAME)
    assert content_of(two.fetch(NAME)) == content_of(one.path(NAME))


def test_hosts_that_publish_and_fetch_at_the_same_time_see_whole_artifacts(address: str, host: Host) -> None:
    writers = [host(f"writer-{number}", address) for number in range(4)]
    versions = [bytes([number]) * 5000 for number in range(4)]
    for store, content in zip(writers, versions, strict=True):
        made(store, **{"model.json": content, "below/users.npy": content})
    writers[0].publish(NAME)

    def publish(number: int) -> None:
        for _ in range(4):
            writers[number].publish(NAME, again=True)

    def fetch(number: int) -> dict[str, bytes]:
        return content_of(host(f"reader-{number}", address).fetch(NAME))

    with ThreadPoolExecutor(8) as threads:
        writing = [threads.submit(publish, number) for number in range(4)]
        seen = list(threads.map(fetch, range(12)))
        for each in writing:
            each.result()
    whole = [{"model.json": content, "below/users.npy": content} for content in versions]
    assert all(each in whole for each in seen)
    last = host("last", address)
    assert content_of(last.fetch(NAME)) in whole
    assert last.verify(NAME)


def test_copies_that_were_not_read_for_longest_make_room(address: str, host: Host) -> None:
    one = host("one", address)
    for number in range(4):
        name = f"models/als-v{number}"
        made(one, name, **{"fitted.npy": bytes(1 << 20)})
        one.publish(name)
    two = host("two", address, cache_gib=2.5 / 1024)
    made(two, "models/own-v1", **{"fitted.npy": bytes(4 << 20)})
    for number in (0, 1, 0, 2):
        two.fetch(f"models/als-v{number}")
    there = [path.name for path in sorted(two.path("models/als-v0").parent.iterdir())]
    # what is not published is never removed
    assert there == ["als-v0", "als-v2", "own-v1"]
    assert two.cached_bytes() <= 2.5 * 2**20
    small = host("small", address, cache_gib=0.5 / 1024)
    assert small.fetch("models/als-v3").is_dir()  # what was just asked for stays, though it is too much


def test_a_memory_map_outlives_the_copy(address: str, host: Host) -> None:
    import numpy as np

    one, two = host("one", address), host("two", address)
    folder = made(one)
    np.save(folder / "fitted.npy", np.arange(100_000))
    one.publish(NAME)
    mapped = np.load(two.fetch(NAME) / "fitted.npy", mmap_mode="r")
    one.withdraw(NAME)
    two.sweep()
    assert int(mapped.sum()) == 4_999_950_000


def test_what_an_interrupted_publication_left_is_removed_after_a_day(
    address: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = host("one", address)
    made(one)
    one.publish(NAME)
    kept = set(one._remote.sizes("files"))
    one._remote.upload(one.path(NAME) / "model.json", f"files/models/als-v2/{'a' * 32}/model.json")
    one._remote.upload(one.path(NAME) / "model.json", f"files/{NAME}/{'b' * 32}/model.json")
    assert one.remove_unfinished() == []
    monkeypatch.setattr("recsys.artifacts.store._UNFINISHED_SECONDS", -5.0)
    assert one.remove_unfinished() == [NAME, "models/als-v2"]
    assert set(one._remote.sizes("files")) == kept
    one.verify(NAME)


def test_some_files_of_a_publication_are_read_alone(address: str, host: Host) -> None:
    one, two = host("one", address), host("two", address)
    made(one)
    one.publish(NAME)
    with two.some_files(NAME, lambda path: path.endswith(".npy")) as folder:
        assert list(content_of(folder)) == ["below/users.npy"]
    assert not folder.exists()
    assert not two.path(NAME).exists()


def test_what_the_store_lacks_is_listed(address: str, host: Host) -> None:
    one = host("one", address)
    for name in ("models/als-v1", "datasets/0123456789abcdef", "reports/run/figures"):
        made(one, name)
    for name in ("datasets/current.json", "reports/run/report.html"):
        made(one, name, content=b"{}")
    (one.path(NAME).parent / ".als-v2-staging").mkdir()
    missing = one.unpublished()
    assert sorted(missing) == [
        "datasets/0123456789abcdef",
        "datasets/current.json",
        "models/als-v1",
        "reports/run/figures",
        "reports/run/report.html",
    ]
    for name in missing:
        one.publish(name)
    assert one.unpublished() == []
    assert one.names() == sorted(missing)


@pytest.mark.parametrize(
    "name",
    ["", "models", "models/", "models/../run", "/models/a", "run/cursor.key", "models/.a", "models/a/"],
)
def test_a_name_stays_below_the_folders_of_artifacts(host: Host, name: str) -> None:
    with pytest.raises(Invalid, match="is no name of an artifact"):
        host("one", None).fetch(name)


@given(path=st.sampled_from(["../a", "a/../../b", "/etc/passwd", "", "a//b", "."]))
def test_a_manifest_never_leads_out_of_the_folder(path: str) -> None:
    from recsys.artifacts.manifest import PublishedFile

    files = (PublishedFile("model.json", 1, "0" * 64), PublishedFile(path, 1, "0" * 64))
    encoded = ArtifactManifest(NAME, "0" * 32, "2026-01-01", files).encoded()
    with pytest.raises(Invalid, match="of another artifact"):
        ArtifactManifest.decoded(checked_name(NAME), encoded)
