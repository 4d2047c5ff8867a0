"""MLflow: each trained version as a run, in a store under `var/` or where MLFLOW_TRACKING_URI points."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys import clock
from recsys.settings import get_settings

__all__ = ["Tracked", "TrackedRun", "track"]

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
    """Log all runs. A failing store raises nothing: the models are registered already, so it is only told."""
    uri, artifacts = _store()
    done: dict[str, str] = {}
    try:
        for run in runs:
            done[run.name] = _log(uri, artifacts, run)
    except Exception as error:  # noqa: BLE001 — MLflow's stores fail in as many ways as there are databases
        said = " ".join(str(error).split())[:300] or type(error).__name__
        return Tracked(_without_password(uri), done, f"{type(error).__name__}: {said}")
    return Tracked(_without_password(uri), done)


def _store() -> tuple[str, str | None]:
    """Tracking URI, and the artifact location of a new experiment (None: the server's own)."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri, None
    folder = get_settings().var.resolve() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


def _log(uri: str, artifacts: str | None, run: TrackedRun) -> str:
    # no anonymous statistics to the outside, and no minutes of retries when a server is away
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    with warnings.catch_warnings():
        # MLflow's own use of older SQLAlchemy and pydantic is not ours to mend
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        client = MlflowClient(tracking_uri=uri)
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


def _without_password(uri: str) -> str:
    head, at, tail = uri.rpartition("@")
    if not at or "://" not in head:
        return uri
    scheme, _, user = head.partition("://")
    return f"{scheme}://{user.partition(':')[0]}:…@{tail}"
