"""The client loads nothing of the service."""

from __future__ import annotations

import subprocess
import sys

SERVICE = ("fastapi", "starlette", "sqlalchemy", "psycopg", "redis", "pydantic", "numpy", "recsys.settings")


def test_importing_the_client_loads_no_server() -> None:
    script = f"import sys, recsys.client; sys.exit(' '.join(set({SERVICE!r}) & sys.modules.keys()) or 0)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_without_httpx_the_error_names_the_extra() -> None:
    script = "import sys; sys.modules['httpx'] = None\nimport recsys.client"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install 'recsys[client]'" in done.stderr
