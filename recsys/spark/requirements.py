"""What Spark needs on this machine: pyspark, and Java where the driver itself runs here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

from recsys.errors import Invalid

__all__ = ["OLDEST_JAVA", "OLDEST_PYSPARK", "check_requirements", "find_java", "java_version"]

OLDEST_JAVA = 17
OLDEST_PYSPARK = (4, 0)
_ANSWER_SECONDS = 60


def check_requirements(master: str) -> None:
    """Raises Invalid, saying what to install, where pyspark or Java is missing or too old."""
    _check_pyspark()
    if not master.startswith("sc://"):  # there the driver's Java is on the other side
        _check_java()


def find_java() -> str | None:
    """The program that Spark would start: of JAVA_HOME, else on the path."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which(os.path.join(home, "bin", "java")) if home else shutil.which("java")


def java_version(java: str) -> int | None:
    """The major version that a Java names; None where it names none."""
    try:
        asked = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # Java 8 and older call themselves 1.8
    found = re.search(r'version "(?:1\.)?(\d+)', asked.stderr + asked.stdout)
    return None if found is None else int(found[1])


def _check_pyspark() -> None:
    needed = ".".join(map(str, OLDEST_PYSPARK))
    try:
        installed = version("pyspark")
    except PackageNotFoundError:
        raise Invalid("pyspark is not installed, which --engine spark needs; install recsys[spark]") from None
    if tuple(int(part) for part in re.findall(r"\d+", installed)[:2]) < OLDEST_PYSPARK:
        raise Invalid(
            f"pyspark {installed} is too old, --engine spark needs {needed} or newer; install recsys[spark]"
        )


def _check_java() -> None:
    java = find_java()
    home = os.environ.get("JAVA_HOME")
    if java is None:
        where = f"in JAVA_HOME ({home})" if home else "on the path, and JAVA_HOME is not set"
        raise Invalid(f"Java is not found {where}; --engine spark needs Java {OLDEST_JAVA} or newer")
    found = java_version(java)
    if found is None:
        raise Invalid(f"{java} does not name its version; --engine spark needs Java {OLDEST_JAVA} or newer")
    if found < OLDEST_JAVA:
        raise Invalid(f"{java} is Java {found}; --engine spark needs Java {OLDEST_JAVA} or newer")
