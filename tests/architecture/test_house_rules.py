"""Every module keeps the house rules, and every rule can fail."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.architecture.rules import broken_rules

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("recsys", "features", "models", "training", "serving")
DOMAIN_FILES = {"__init__", "tables", "schemas", "service", "handlers", "routes"}
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ENTRIES = '    """One.\n\n    x : what it is.\n    """\n'


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_module_keeps_the_house_rules(module: Path) -> None:
    assert list(broken_rules(module.relative_to(ROOT).as_posix(), module.read_text())) == []


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("recsys/a.py", "x = 1\n", "has no docstring"),
        ("recsys/a.py", '"""A."""\n' + "x = 1\n" * 451, "is longer than"),
        ("recsys/utils.py", '"""A."""\n', "named after nothing"),
        ("recsys/a.py", '"""A."""\nsession.commit()\n', "commits"),
        ("recsys/a.py", '"""A."""\nprint(1)\n', "prints"),
        ("recsys/a.py", '"""A."""\ndatetime.datetime.now()\n', "reads the time"),
        ("recsys/a.py", '"""A."""\nimport pickle\n', "pickled"),
        ("recsys/a.py", '"""A."""\nnp.load(f)\n', "allow_pickle"),
        ("recsys/a.py", '"""A."""\ntry:\n    f()\nexcept Exception:\n    pass\n', "swallows"),
        ("recsys/a.py", f'"""A."""\ndef f(x, y):\n{ENTRIES}', "f describes x outside of a section"),
        ("recsys/a.py", f'"""A."""\nclass A:\n{ENTRIES}    x: int\n', "A describes x outside of a section"),
        ("recsys/a.py", 'def f(x):\n    """One. x : what it is."""\n', "f describes x outside of a section"),
        ("recsys/a.py", 'def f(x):\n    """One; x: what it is."""\n', "f describes x outside of a section"),
        ("recsys/a.py", 'def f(**x):\n    """One, **x : any."""\n', "f describes x outside of a section"),
        ("recsys/a.py", 'def f(x):\n    """One.\n\n    Two. x :\n    any.\n    """\n', "f describes x"),
        ("recsys/a.py", 'def f(x):\n    """One.\n\n      x : any.\n    """\n', "f describes x"),
        ("recsys/a.py", 'class A:\n    """One. w : a. w, x : b."""\n    x: int\n', "A describes w, x"),
        ("recsys/a.py", 'class A:\n    """One. x : a; y : b."""\n    x: int\n    y: int\n', "describes y"),
    ],
)
def test_a_broken_rule_is_named(name: str, source: str, expected: str) -> None:
    assert any(expected in fault for fault in broken_rules(name, source))


@pytest.mark.parametrize(
    "source",
    [
        'def f(x):\n    """One.\n\n    Parameters\n    ----------\n    x\n        One. x : any.\n    """\n',
        'def f(x):\n    """One. Other names: y : any, and `x: 1`."""\n',
        'def f(x):\n    """One of x: the first."""\n',
        '@router.get("/")\ndef f(x):\n    """One. x : what it is."""\n',
        '@app.command()\ndef f(x):\n    """One. x : what it is."""\n',
    ],
)
def test_a_docstring_without_entries_outside_of_sections_passes(source: str) -> None:
    assert list(broken_rules("recsys/a.py", f'"""A."""\n{source}')) == []


def test_the_packages_ship_their_types() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        built = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert built == list(PACKAGES)
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").is_file()] == []


def test_every_tests_folder_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def domain_faults(domain: Path) -> list[str]:
    """The files that every domain has and this one lacks."""
    names = {path.stem for path in domain.glob("*.py")}
    return [f"{domain.name} has no {name}.py" for name in sorted(DOMAIN_FILES - names)]


def test_every_domain_has_the_same_files() -> None:
    domains = [path.parent for path in (ROOT / "recsys" / "domains").glob("*/__init__.py")]
    assert len(domains) == 7
    assert [fault for domain in domains for fault in domain_faults(domain)] == []


def test_a_domain_that_lacks_a_file_is_named(tmp_path: Path) -> None:
    for name in DOMAIN_FILES - {"routes"}:
        (tmp_path / f"{name}.py").touch()
    assert domain_faults(tmp_path) == [f"{tmp_path.name} has no routes.py"]


def test_no_committed_file_names_an_index_or_a_download_address() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    # put together from parts, so that this file keeps the rule it checks
    options, hosts = (
        ("index-url", "extra-index-url", "find-links"),
        ("files.python-hosted", "py-pi.org", "py-pi.python"),
    )
    forbidden = [f"--{option}" for option in options] + [host.replace("-", "") for host in hosts]
    address = re.compile("|".join(map(re.escape, forbidden)))
    bad = [
        name
        for name in tracked
        if name and (ROOT / name).is_file() and address.search((ROOT / name).read_text(errors="ignore"))
    ]
    assert bad == []


def test_every_requirement_is_pinned_with_hashes() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        requirements = [
            line for line in file.read_text().splitlines() if line and not line.startswith((" ", "#"))
        ]
        assert requirements
        assert [line for line in requirements if "==" not in line] == []
        assert file.read_text().count("--hash=sha256:") >= len(requirements)
