"""What Spark needs is checked before it is used; what is missing is named in one line."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from recsys import cli
from recsys.spark import requirements


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that answers as the Java of this test does, in JAVA_HOME."""
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    return program


def answers(java: Path, text: str) -> None:
    java.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{text}\nEND\n")


def score(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The one line of a scoring on Spark that is refused."""
    assert cli.run(["serve", "score", "--engine", "spark", *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_292"', 8),
        ('openjdk version "21" 2023-09-19\nOpenJDK Runtime Environment', 21),
        ("no Java at all", None),
    ],
)
def test_the_version_is_read(java: Path, text: str, version: int | None) -> None:
    answers(java, text)
    assert requirements.find_java() == str(java)
    assert requirements.java_version(str(java)) == version


def test_an_old_java_is_refused(java: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers(java, 'openjdk version "11.0.2" 2019-01-15')
    assert "is Java 11; --engine spark needs Java 17 or newer" in score(capsys)


def test_a_java_that_does_not_start_is_refused(java: Path, capsys: pytest.CaptureFixture[str]) -> None:
    java.write_text("neither a script nor a program")
    assert "does not name its version" in score(capsys)


def test_a_missing_java_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert "Java is not found in JAVA_HOME" in score(capsys)
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Java is not found on the path, and JAVA_HOME is not set" in score(capsys)


def test_a_missing_or_old_pyspark_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(_: str) -> str:
        raise PackageNotFoundError("pyspark")

    monkeypatch.setattr(requirements, "version", absent)
    assert "pyspark is not installed" in score(capsys)
    monkeypatch.setattr(requirements, "version", lambda _: "3.5.1")
    assert "pyspark 3.5.1 is too old, --engine spark needs 4.0 or newer" in score(capsys)
    # there the driver's Java runs elsewhere, the package is needed all the same
    assert "too old" in score(capsys, "--master", "sc://127.0.0.1:15002")


def test_a_wrong_address_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "an address of Spark is local[N], spark://host:port" in score(capsys, "--master", "http://here")


def test_a_master_without_the_engine_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serve", "score", "--master", "local[2]"]) == 2
    assert "give --engine spark, too" in capsys.readouterr().err
