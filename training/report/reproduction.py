"""What it takes to get the figures of a run again: command, data, seed, commit, libraries, machine."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from training.experiment import Experiment
from training.report import document as d

__all__ = ["reproduction"]

LIBRARIES = (
    "recsys",
    "numpy",
    "scipy",
    "scikit-learn",
    "implicit",
    "lightgbm",
    "pandas",
    "polars",
    "mlflow-skinny",
    "sqlalchemy",
    "psycopg",
)


def reproduction(command: str, first: Experiment, fingerprint: str) -> d.Reproduction:
    """All of it; `first` is an experiment of the run, which share their plan."""
    return d.Reproduction(
        command=command,
        seed=first.seed,
        draws=first.evaluation.draws,
        fingerprint=fingerprint,
        commit=_commit(),
        versions={"python": platform.python_version(), **_library_versions()},
        platform=f"{platform.system()} {platform.machine()}",
    )


def _library_versions() -> Mapping[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found


def _commit() -> str | None:
    """The checkout's commit, `-dirty` when files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
