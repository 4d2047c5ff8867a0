"""Every setting that is an address, a path or a weight refuses nonsense in one line, with exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from recsys import cli
from recsys.diagnosis.setting_names import setting_groups
from recsys.settings import Settings, get_settings

ADDRESSES = [
    "nonsense",
    "://",
    "http://",
    "redis://",
    "ftp://host/x",
    "redis://host:port/0",
    "https://host:port",
]
ADDRESSES += [
    "postgresql://host:port/x",
    "postgresql://[",
    "http://[",
    "redis://host:99999",
    "redis://:p@[/0",
    "",
]
ADDRESSES += [
    "s3cret@host",
    "redis://:s3cret@[/0",
    "http://user:s3cret@host:port",
    "redis://host:1/x",
    "https://host/ x",
    "\N{SNOWMAN}",
]
WEIGHTS = [
    '{"view": -1}',
    '{"review": -0.5}',
    '{"view": NaN}',
    '{"view": Infinity}',
    '{"view": "much"}',
    "3",
    "{",
]


def variables(wanted: set[str]) -> list[str]:
    """The settings of some kinds."""
    return [
        group.variable(name)
        for group in setting_groups(Settings)
        for name, field in group.fields.items()
        if kind_of(name, field) in wanted
    ]


def kind_of(name: str, field: FieldInfo) -> str:
    if "Path" in str(field.annotation):
        return {"ca_certs": "file", "executor_var": "folder elsewhere"}.get(name, "folder")
    if name in ("weights", "target"):
        return "weights"
    return "address" if "url" in name else "origins" if "origins" in name else "other"


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    get_settings.cache_clear()
    code = cli.run(["migrate"])
    out, complaint = capsys.readouterr()
    assert (code, out) == (2, ""), complaint
    assert complaint.startswith(f"recsys: {variable}"), complaint
    assert complaint.count("\n") == 1
    assert "unexpected" not in complaint
    assert "s3cret" not in complaint


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings of this test, which are read again at its end."""
    monkeypatch.setenv("RECSYS_VAR", str(tmp_path / "var"))


def test_the_kinds_are_those_that_there_are() -> None:
    kinds = ("address", "file", "folder", "folder elsewhere", "origins", "weights")
    assert {kind: len(variables({kind})) for kind in kinds} == {
        "address": 10,
        "file": 1,
        "folder": 1,
        "folder elsewhere": 1,
        "origins": 1,
        "weights": 2,
    }


@pytest.mark.parametrize("variable", variables({"address"}))
def test_nonsense_is_no_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    for value in ADDRESSES:
        refused(monkeypatch, capsys, variable, value)


@pytest.mark.parametrize("variable", variables({"origins"}))
def test_nonsense_is_no_origin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    for value in [*ADDRESSES, "*", "https://host/path", "https://user@host"]:
        refused(monkeypatch, capsys, variable, json.dumps([value]))


@pytest.mark.parametrize("variable", variables({"folder", "file"}))
def test_nonsense_is_no_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("no certificate")
    for value in ("", str(file), str(file / "below")):
        refused(monkeypatch, capsys, variable, value)


@pytest.mark.parametrize("variable", variables({"folder elsewhere"}))
def test_a_folder_of_another_machine_is_named_from_its_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    for value in ("", "var", "./var", "~/var"):
        refused(monkeypatch, capsys, variable, value)


@pytest.mark.parametrize("variable", variables({"weights"}))
def test_nonsense_is_no_weight(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    for value in WEIGHTS:
        refused(monkeypatch, capsys, variable, value)


def test_what_can_be_meant_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECSYS_REDIS__URL", "rediss://:p%40@[::1]:6379/3")
    monkeypatch.setenv("RECSYS_SEARCH__URL", "https://user:p@host:9200/path")
    monkeypatch.setenv("RECSYS_API__CORS_ORIGINS", '["https://shop.example:8443", "http://[::1]:3000"]')
    monkeypatch.setenv("RECSYS_VAR", str(tmp_path / "not" / "there" / "yet"))
    monkeypatch.setenv("RECSYS_FEATURES__WEIGHTS", '{"view": 0, "purchase": 2.5, "dismissed": -1}')
    get_settings.cache_clear()
    assert get_settings().features.weights["dismissed"] == -1
    monkeypatch.setenv("RECSYS_REDIS__URL", "unix:///run/redis.sock?db=1")
    get_settings.cache_clear()
    assert get_settings().redis.url is not None
