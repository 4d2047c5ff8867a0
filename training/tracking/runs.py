"""MLflow: each trained version as a run, in a store under `var/` or where MLFLOW_TRACKING_URI points."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys import clock
from recsys.settings import get_settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = [
    "Tracked",
    "TrackedRun",
    "describe_problem",
    "local_store",
    "open_client",
    "store",
    "track",
    "without_password",
]

EXPERIMENT = "recsys"


@dataclass(frozen=True)
class TrackedRun:
    """What MLflow should remember of one version. Metrics: name → step (list length) → value."""

    name: str
    parameters: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Mapping[str, Mapping[int, float]]
    artifacts: Sequence[Path]


@dataclass(frozen=True)
class Tracked:
    """Where the runs went; `problem` is empty unless something failed, and then says what."""

    uri: str
    runs: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def track(runs: Sequence[TrackedRun]) -> Tracked:
    """Log all runs. A failing store raises nothing but is reported: the models are registered already."""
    uri, artifacts = store()
    done: dict[str, str] = {}
    try:
        with open_client(uri) as client:
            for run in runs:
                done[run.name] = _log(client, artifacts, run)
    except Exception as error:  # noqa: BLE001 — MLflow's stores fail in as many ways as there are databases
        return Tracked(without_password(uri), done, describe_problem(error))
    return Tracked(without_password(uri), done)


def describe_problem(error: Exception) -> str:
    """What a store failed with, on one line."""
    message = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{type(error).__name__}: {message}"


def local_store() -> Path | None:
    """The database file under `var/`; None where MLFLOW_TRACKING_URI names another store."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    return get_settings().var.resolve() / "mlflow" / "mlflow.db"


def store(*, make: bool = True) -> tuple[str, str | None]:
    """Tracking URI, and the artifact location of a new experiment (None: the server's own)."""
    database = local_store()
    if database is None:
        return os.environ["MLFLOW_TRACKING_URI"], None
    if make:
        database.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{database}", (database.parent / "artifacts").as_uri()


@contextmanager
def open_client(uri: str) -> Iterator[MlflowClient]:
    """A client of that store, for tracking and for the model registry; MLflow's own warnings are muted."""
    # no anonymous statistics to the outside, and no minutes of retries when a server is away
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    with warnings.catch_warnings():
        # MLflow's own use of older SQLAlchemy and pydantic is not ours to mend
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)


def _log(client: MlflowClient, artifacts: str | None, run: TrackedRun) -> str:
    from mlflow.entities import Metric, Param

    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = (
        client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        if experiment is None
        else experiment.experiment_id
    )
    moment = int(clock.now().timestamp() * 1000)
    begun = client.create_run(experiment_id, run_name=run.name, tags=dict(run.tags), start_time=moment)
    identity = str(begun.info.run_id)
    metrics = [
        Metric(name, value, moment, step)
        for name, steps in run.metrics.items()
        for step, value in steps.items()
    ]
    params = [Param(name, str(value)[:6000]) for name, value in run.parameters.items()]
    client.log_batch(identity, metrics=metrics, params=params)
    for path in run.artifacts:
        client.log_artifact(identity, str(path))
    client.set_terminated(identity)
    return identity


def without_password(uri: str) -> str:
    """The address as it may be shown."""
    head, at, tail = uri.rpartition("@")
    if not at or "://" not in head:
        return uri
    scheme, _, user = head.partition("://")
    return f"{scheme}://{user.partition(':')[0]}:…@{tail}"
