"""The program of the schema version before the newest, out of the repository's history, as a process."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from recsys.database import migrate
from tests.support.servers import ROOT

__all__ = ["EarlierVersion", "earlier_version"]

_PARTS = ("recsys", "features", "models", "training", "serving", "pyproject.toml", ".env.example")


@dataclass(frozen=True)
class EarlierVersion:
    """A checkout of the commit before the newest migration. schema : the newest schema that it has."""

    commit: str
    folder: Path
    schema: str

    def environment(self) -> dict[str, str]:
        """The test's environment, in which its packages and entry points are found first.

        Settings that it does not have are left out: it would refuse them.
        """
        example = (self.folder / ".env.example").read_text(encoding="utf-8")
        settings = set(re.findall(r"^# (RECSYS_\w+)=", example, re.MULTILINE))
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("RECSYS_") or name in settings
        }
        return {**variables, "PYTHONPATH": str(self.folder)}

    def start(self, arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Python with `arguments` on that version; what it writes goes to `log`, at whatever length."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> str:
        """The output of `recsys ARGUMENTS` of that version; a failure fails the test."""
        done = subprocess.run(
            [sys.executable, "-m", "recsys", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def earlier_version(tmp_path_factory: pytest.TempPathFactory) -> EarlierVersion:
    """Skips with the reason where the history does not have that commit."""
    newest = migrate.head()
    versions = "recsys/database/migrations/versions"
    (file,) = (ROOT / versions).glob(f"{newest}_*.py")
    added = _git("log", "-1", "--diff-filter=A", "--format=%H", "--", f"{versions}/{file.name}")
    # a migration that is not committed yet came after the last commit
    commit = _git("rev-parse", "--verify", "--quiet", f"{added.strip()}^" if added.strip() else "HEAD")
    if not commit:
        pytest.skip(f"the history (a shallow clone, or none) has no commit before schema version {newest}")
    folder = tmp_path_factory.mktemp("earlier")
    archive = subprocess.run(
        ["git", "archive", commit.strip(), *_PARTS], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    _describe(folder)
    schema = max(each.name[:4] for each in (folder / versions).glob("[0-9]*_*.py"))
    return EarlierVersion(commit.strip(), folder, schema)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def _describe(folder: Path) -> None:
    """Its entry points, as an installation of it would have them; the first on the path is read."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = folder / f"recsys-{project['version']}.dist-info"
    about.mkdir()
    about.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: recsys\nVersion: {project['version']}\n", encoding="utf-8"
    )
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    lines = [
        line
        for group, entries in groups.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    about.joinpath("entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
