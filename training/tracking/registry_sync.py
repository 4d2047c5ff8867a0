"""MLflow's model registry as a mirror of ours: PostgreSQL is the truth, and MLflow is made to agree."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys.artifacts.store import artifact_store
from recsys.database.session import session_connection, unit_of_work
from recsys.errors import Conflict
from recsys.settings import get_settings
from training.tracking.runs import describe_problem, local_store, open_client, store, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

__all__ = ["ALIAS", "OWNER", "Mirrored", "reconcile"]

ALIAS = "champion"
OWNER = "recsys"
"""Tag of the registered models that are ours; one without it is somebody else's and is left alone."""
LOCK = 7_290_313
PATIENCE_SECONDS = 30.0
STATE = "mirror.json"


@dataclass(frozen=True)
class Mirrored:
    """What it came to. `changes`: writes to MLflow; `problem` is empty unless something failed."""

    uri: str
    changes: int = 0
    problem: str = ""


@dataclass(frozen=True)
class _Wanted:
    """One version as MLflow should hold it."""

    family: str
    version: int
    source: str
    run: str | None
    tags: dict[str, str]
    champion: bool


def reconcile() -> Mirrored:
    """Make MLflow's registry hold what PostgreSQL says; repeatable, and quick when both agree already.

    One registered model per experiment, the same version numbers, tags with our names, and the alias
    `champion` on the version that serves and nowhere else. A store under `var/` that no training has made yet
    is not made here. A failure is reported in the result and raises nothing: the next operation tries again.
    """
    uri, _ = store(make=False)
    shown = without_password(uri)
    try:
        database = local_store()
        if database is not None and not database.is_file():
            return Mirrored(shown)
        with _alone():
            return Mirrored(shown, _reconcile(uri, database))
    except Exception as error:  # noqa: BLE001 — whatever MLflow's store fails with, ours is registered already
        return Mirrored(shown, problem=describe_problem(error))


def _reconcile(uri: str, database: Path | None) -> int:
    wanted = _wanted()
    state = get_settings().var / "mlflow" / STATE
    if _agreed(state) == _digest(uri, wanted, database):
        return 0
    state.unlink(missing_ok=True)  # should this process die now, nobody believes that they agree
    changes = 0
    with open_client(uri) as client:
        families = {one.family for one in wanted} | _ours(client)
        for family in sorted(families):
            mine = [one for one in wanted if one.family == family]
            changes += _mirror_family(client, family, mine, rebuild=database is not None)
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text(json.dumps({"agreed": _digest(uri, wanted, database)}), encoding="utf-8")
    return changes


def _wanted() -> list[_Wanted]:
    with unit_of_work() as session:
        models = registry.list_models(session)
    found = []
    for model in models:
        family, separator, number = model.name.rpartition("-v")
        if separator and number == model.version and number.isdecimal():
            found.append(_version_of(model, family))
    return sorted(found, key=lambda one: (one.family, one.version))


def _version_of(model: RegisteredModel, family: str) -> _Wanted:
    tags = {
        "recsys.name": model.name,
        "recsys.checksum": model.checksum,
        "recsys.dataset": model.dataset,
        "recsys.gate": str(model.parameters.get("gate", {}).get("action", "")),
        "recsys.report": str(model.parameters.get("report", "")),
    }
    run = model.parameters.get("mlflow", {}).get("run")
    store = artifact_store()
    # every host names the same place, so that they agree on a tracking server that they share
    source = (
        f"{store.address}/files/{registry.artifact_name(model.name)}"
        if store.is_shared
        else model.folder.resolve().as_uri()
    )
    return _Wanted(family, int(model.version), source, run, tags, champion=model.is_active)


def _ours(client: MlflowClient) -> set[str]:
    names: set[str] = set()
    token: str | None = None
    while True:
        page = client.search_registered_models(max_results=100, page_token=token)
        names |= {str(model.name) for model in page if OWNER in model.tags}
        token = page.token
        if not token:
            return names


def _mirror_family(client: MlflowClient, family: str, wanted: list[_Wanted], *, rebuild: bool) -> int:
    """Bring one registered model in step; the number of writes that took.

    Numbers that MLflow gave away once are gone. Where one of them is missing or another artifact's, the store
    under `var/` is rewritten for this family; anywhere else that is reported, for others may read there.
    """
    there, changes = _open_family(client, family)
    strangers = [
        one.version
        for one in wanted
        if one.version in there
        and there[one.version].tags.get("recsys.checksum") != one.tags["recsys.checksum"]
    ]
    missing = [one.version for one in wanted if one.version not in there]
    used_up = [number for number in missing if number < max(there, default=0)]
    if strangers or used_up:
        if not rebuild:
            raise Conflict(_not_ours(family, strangers or used_up))
        return _rewrite(client, family, wanted) + changes
    for number in sorted(set(there) - {one.version for one in wanted}):
        client.delete_model_version(family, str(number))
        changes += 1
    for one in wanted:
        if one.version in there:
            changes += _retag(client, one, there[one.version])
        elif _create(client, one):
            changes += 1
        elif rebuild:
            return _rewrite(client, family, wanted) + changes
        else:
            raise Conflict(_not_ours(family, [one.version]))
    return changes + _point(client, family, wanted)


def _open_family(client: MlflowClient, family: str) -> tuple[dict[int, ModelVersion], int]:
    """The versions that are there, by number; the registered model is made where it is missing."""
    from mlflow.exceptions import MlflowException

    try:
        known = client.get_registered_model(family)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(family, tags={OWNER: "true"})
        return {}, 1
    if OWNER not in known.tags:
        raise Conflict(
            f"MLflow has a registered model {family} that recsys did not make (no tag {OWNER!r}); "
            "rename it there, or name the experiment otherwise"
        )
    there: dict[int, ModelVersion] = {}
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{family}'", max_results=1000, page_token=token)
        there |= {int(version.version): version for version in page}
        token = page.token
        if not token:
            return there, 0


def _rewrite(client: MlflowClient, family: str, wanted: list[_Wanted]) -> int:
    client.delete_registered_model(family)
    client.create_registered_model(family, tags={OWNER: "true"})
    for one in wanted:
        if not _create(client, one):
            raise Conflict(_not_ours(family, [one.version]))
    return 2 + len(wanted) + _point(client, family, wanted)


def _create(client: MlflowClient, wanted: _Wanted) -> bool:
    """Make the version with our number, stepping over gaps of ours; False when the number is used up."""
    run = wanted.run or _run_of(client, wanted)
    while True:
        made = client.create_model_version(
            wanted.family, wanted.source, run_id=run, tags=wanted.tags, await_creation_for=0
        )
        if int(made.version) == wanted.version:
            return True
        client.delete_model_version(wanted.family, str(made.version))
        if int(made.version) > wanted.version:
            return False


def _run_of(client: MlflowClient, wanted: _Wanted) -> str | None:
    """The run of a version whose row lost it: its process died between MLflow and PostgreSQL."""
    experiments = [one.experiment_id for one in client.search_experiments(filter_string="name = 'recsys'")]
    if not experiments:
        return None
    keys = ("recsys.checksum", "recsys.name")
    same = " and ".join(f"tags.`{key}` = '{wanted.tags[key]}'" for key in keys)
    runs = client.search_runs(experiments, filter_string=same, max_results=1)
    return str(runs[0].info.run_id) if runs else None


def _retag(client: MlflowClient, wanted: _Wanted, there: ModelVersion) -> int:
    differ = {key: value for key, value in wanted.tags.items() if there.tags.get(key) != value}
    for key, value in differ.items():
        client.set_model_version_tag(wanted.family, str(wanted.version), key, value)
    return len(differ)


def _point(client: MlflowClient, family: str, wanted: list[_Wanted]) -> int:
    """Let the alias name the serving version, or nothing where another experiment's serves."""
    serving = next((one.version for one in wanted if one.champion), None)
    now = client.get_registered_model(family).aliases.get(ALIAS)
    if serving is None and now is not None:
        client.delete_registered_model_alias(family, ALIAS)
        return 1
    if serving is not None and (now is None or int(now) != serving):
        client.set_registered_model_alias(family, ALIAS, str(serving))
        return 1
    return 0


def _not_ours(family: str, numbers: list[int]) -> str:
    listed = ", ".join(map(str, numbers))
    return (
        f"MLflow's {family} cannot hold version {listed}: that number is taken or another artifact's; "
        f"delete the registered model {family} in MLflow, the next `recsys train list` writes it again"
    )


def _digest(uri: str, wanted: list[_Wanted], database: Path | None) -> str:
    """Of what should be there and, where the store is a file of ours, of the file as it is."""
    content: list[Any] = [uri, [vars(one) for one in wanted]]
    if database is not None:
        status = database.stat()
        content += [status.st_size, status.st_mtime_ns]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _agreed(state: Path) -> str:
    with suppress(OSError, ValueError):
        return str(json.loads(state.read_text(encoding="utf-8"))["agreed"])
    return ""


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time; what should be there is read inside, so the last one leaves the newest."""
    with session_connection() as connection:
        patience = time.monotonic() + PATIENCE_SECONDS
        while not _is_taken(connection):
            if time.monotonic() > patience:
                raise Conflict("another process has been bringing MLflow in step for half a minute")
            time.sleep(0.05)
        try:
            yield
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def _is_taken(connection: psycopg.Connection) -> bool:
    found = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
    return found is not None and bool(found[0])
