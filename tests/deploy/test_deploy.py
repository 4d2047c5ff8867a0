"""Image, compose file and units name settings and commands that exist, and run closed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys.diagnosis.setting_names import variable_names
from recsys.settings import Settings
from tests.deploy.commands import check_command

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted(path for path in (DEPLOY / "systemd").iterdir() if path.suffix == ".service")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
OURS = {name: each for name, each in COMPOSE["services"].items() if each["image"] == "recsys"}
CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")


def test_each_setting_that_is_named_exists() -> None:
    named = {
        name
        for path in [*DEPLOY.rglob("*"), ROOT / ".dockerignore"]
        if path.is_file()
        for name in re.findall(r"RECSYS_\w+", path.read_text(encoding="utf-8"))
    }
    assert named - set(variable_names(Settings)) == set()
    assert {"RECSYS_DATABASE__URL", "RECSYS_REDIS__URL", "RECSYS_VAR"} <= named


@pytest.mark.parametrize("service", OURS)
def test_each_process_of_the_compose_file_is_a_command_and_is_closed(service: str) -> None:
    given = OURS[service]
    check_command(given["command"])
    assert given["read_only"] is True
    assert given["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in given["security_opt"]
    assert given["env_file"] == [{"path": "recsys.env", "required": False}]


def test_the_commands_of_the_documentation_exist() -> None:
    page = (ROOT / "docs/operations/deployment.md").read_text(encoding="utf-8")
    inside = re.findall(r"docker compose exec (\w+) recsys (.+)", page)
    inside += re.findall(r"docker compose run --rm(?: --no-deps)?(?: -v \S+)? (\w+) (.+)", page)
    assert {"doctor", "backup"} <= {command.split()[0] for _, command in inside}
    for service, command in inside:
        assert service in OURS
        check_command(command.partition("#")[0].split())
    # a command under systemd has what the units have
    unit = (DEPLOY / "systemd" / "recsys-api.service").read_text()
    (line,) = re.findall(r"^Environment=(.+)$", unit, re.MULTILINE)
    assert set(re.findall(r"--setenv=(\S+)", page)) == set(line.split())
    for name in ("User", "Group", "EnvironmentFile", "WorkingDirectory", "UMask"):
        (value,) = re.findall(rf"^{name}=(.+)$", unit, re.MULTILINE)
        assert f"--property={name}={value}" in page


def test_the_compose_file_refers_to_what_it_has() -> None:
    for name, service in COMPOSE["services"].items():
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"]), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), volume
    for secret in ("PASSWORD", "SECRET"):
        for value in re.findall(rf"\w*{secret}\w*: (.+)", (DEPLOY / "compose.yaml").read_text()):
            assert value.startswith("${"), value


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_each_unit_starts_a_command(unit: Path) -> None:
    (start,) = re.findall(r"^ExecStart=(.+)$", unit.read_text(), re.MULTILINE)
    (line,) = re.findall(r"/opt/recsys/bin/recsys ([^;]+)", start)
    check_command(line.replace("%i", "core").split())


def test_every_deployment_starts_an_older_program_on_a_newer_schema() -> None:
    started = {
        "compose": " ".join(OURS["migrate"]["command"]),
        "unit": (DEPLOY / "systemd" / "recsys-migrate.service").read_text(),
        "chart": (DEPLOY / "helm/recsys/templates/migration.yaml").read_text().replace('", "', " "),
    }
    assert all("migrate --if-needed" in text for text in started.values()), started


@pytest.mark.parametrize(("codes", "ended", "calls"), [("0", 0, 1), ("1 1 0", 0, 3), ("1 2 0", 2, 2)])
def test_the_migration_unit_waits_for_the_database(
    tmp_path: Path, codes: str, ended: int, calls: int
) -> None:
    (start,) = re.findall(
        r"^ExecStart=/bin/sh -c '(.+)'$",
        (DEPLOY / "systemd" / "recsys-migrate.service").read_text(),
        re.MULTILINE,
    )
    # a program that ends with one of the codes after the other
    program = tmp_path / "recsys"
    program.write_text(
        f"#!/bin/sh\necho >> {tmp_path}/calls\nset -- {codes}\n"
        f"shift $(($(wc -l < {tmp_path}/calls) - 1))\nexit $1\n"
    )
    program.chmod(0o755)
    script = start.replace("$$", "$").replace("/opt/recsys/bin/recsys", str(program)).replace("sleep 5", ":")
    done = subprocess.run(["/bin/sh", "-c", script], timeout=30, check=False)
    assert (done.returncode, (tmp_path / "calls").read_text().count("\n")) == (ended, calls)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_each_unit_sees_the_start_of_the_machine(unit: Path) -> None:
    # without /proc/stat psutil cannot tell when a process began
    settings = re.findall(r"^(ProtectProc|ProcSubset)=(.+)$", unit.read_text(), re.MULTILINE)
    assert settings == [("ProtectProc", "invisible")]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "recsys"
    names = []
    for path in (DEPLOY / "systemd").iterdir():
        name = path.name.replace("@.", "@core.")
        text = path.read_text().replace("/opt/recsys/bin/recsys", str(program))
        (tmp_path / name).write_text(text)
        (tmp_path / path.name).write_text(text)
        names.append(name)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "recsys" in line]
    assert (done.returncode, ours) == (0, [])


def test_the_image_is_not_root_and_names_no_registry() -> None:
    assert re.findall(r"^USER (.+)$", CONTAINERFILE, re.MULTILINE)[-1] == "10001:10001"
    assert re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE) == ["python:3.11-slim"] * 2
    assert "HEALTHCHECK" in CONTAINERFILE
    assert "--require-hashes" in (DEPLOY / "image_steps").read_text()
    addresses = re.findall(r"https?://[^\s'\"]+", CONTAINERFILE)
    assert [each for each in addresses if "127.0.0.1" not in each] == []
    (command,) = re.findall(r"^CMD (\[.*\])$", CONTAINERFILE, re.MULTILINE)
    check_command(yaml.safe_load(command))


def test_what_the_image_copies_is_there() -> None:
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE):
        assert all((ROOT / part).exists() for part in source.split())
