"""Runs the API as a process: binds a port, publishes its address, and shuts down cleanly."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from uvicorn.supervisors import Multiprocess

from recsys.database import migrate
from recsys.database.addresses import direct_url, other_urls
from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.errors import Invalid, Unavailable
from recsys.events import in_process
from recsys.log import get_logger
from recsys.settings import SHORTEST_SECRET, Settings, get_settings
from recsys.web.access.authorization import starts_without_keys
from serving.server.background import background_process
from serving.server.process import ApiServer, prepare_workers, run_worker, server_config
from serving.server.workers import Supervisor, can_fork

__all__ = ["bind", "check_access", "check_schema", "serve"]

MAX_PORTS_TRIED = 100
_log = get_logger(__name__)


def check_schema() -> None:
    """Raise Unavailable unless this program may run on the schema of each database.

    A newer schema that only adds to this program's is one: during an upgrade both versions run.
    """
    _check_schema("database", direct_url())
    for name, url in other_urls().items():
        _check_schema(f"{name} server", url)


def _check_schema(name: str, url: str) -> None:
    found = migrate.check(url)
    if found.state == "newer":
        _log.warning("the schema is newer than this program", schema=found.current, program=found.head)
    elif not found.usable:
        state = "has no schema yet" if found.current is None else f"is at schema version {found.current}"
        remedy = "run the newer version" if found.state == "incompatible" else "run `recsys migrate`"
        raise Unavailable(f"the {name} {state}, this program needs {found.head}; {remedy}")


def check_access(settings: Settings, host: str) -> None:
    """Raise Invalid unless keys are optional here, or an API key and the secrets exist."""
    if starts_without_keys(settings, host):
        return
    reason = (
        f"listening on {host} opens it to others"
        if settings.environment == "development"
        else f"the environment is {settings.environment}"
    )
    secret = settings.payments.webhook_secret
    if secret is None or len(secret.get_secret_value()) < SHORTEST_SECRET:
        raise Invalid(
            f"{reason}, and payments.webhook_secret is {'not set' if secret is None else 'too short'}: "
            "anybody could report payments as made; set RECSYS_PAYMENTS__WEBHOOK_SECRET to "
            f"{SHORTEST_SECRET} or more random characters, or serve development on 127.0.0.1"
        )
    with unit_of_work() as session:
        if not api_keys.any_active(session):
            raise Invalid(
                f"{reason}, and there is no API key; make one with `recsys keys create web-shop "
                "--scope recommend --scope events`, or serve development on 127.0.0.1"
            )


def bind(host: str, port: int, *, next_if_taken: bool = True) -> socket.socket:
    """Return a listening socket on `port`, or, with `next_if_taken`, on the next free one.

    Raises
    ------
    Unavailable
        The port is taken, or the host is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    attempts = MAX_PORTS_TRIED if next_if_taken else 1
    for candidate in range(port, min(port + attempts, 65536)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, candidate))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise Unavailable(
                    f"cannot listen on {host}: {error.strerror}; "
                    "expected an address of this machine, such as 127.0.0.1"
                ) from error
        else:
            listener.set_inheritable(True)
            return listener
    if not next_if_taken:
        raise Unavailable(f"port {port} on {host} is taken; end what listens there, or choose another --port")
    raise Unavailable(
        f"no free port from {port} to {port + MAX_PORTS_TRIED - 1} on {host}; choose another with --port"
    )


def serve(
    settings: Settings, host: str, port: int | None, workers: int, announce: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM; meanwhile `var/run/api.json` has the address.

    Parameters
    ----------
    port
        This port only; None: that of the settings, or the next free one.
    announce
        Called with the address once the port is bound.
    """
    check_schema()
    check_access(settings, host)
    # readers of the setting, here and in workers, must see the option, too
    os.environ["RECSYS_API__HOST"] = host
    get_settings.cache_clear()
    listener = bind(host, port or settings.api.port, next_if_taken=port is None)
    url = _url_of(listener)
    with contextlib.ExitStack() as stack:
        stack.enter_context(listener)
        address_file = _address_file(settings.var / "run" / "api.json", url)
        # signals are handled before the address file exists: one at the start must not leave the file behind
        if workers == 1:
            server = ApiServer(server_config("serving.server.app:create_worker"))
            stack.enter_context(server.capture_signals())
            stack.enter_context(address_file)
            if in_process.wanted(settings):
                stack.enter_context(background_process(listener))
            announce(url)
            try:
                server.run(sockets=[listener])
            except SystemExit as error:  # raised by uvicorn when the start-up failed
                raise Unavailable("the API could not start; the lines above say why") from error
        elif can_fork():
            supervisor = Supervisor(workers, lambda ready: run_worker(listener, ready))
            stack.enter_context(supervisor.handling_signals())
            stack.enter_context(address_file)
            announce(url)
            prepare_workers()
            supervisor.run()
        else:
            spawning = Multiprocess(
                server_config("serving.server.app:create_worker", workers), sockets=[listener]
            )
            stack.enter_context(address_file)
            announce(url)
            spawning.run()


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    display_host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{display_host}:{port}"


@contextlib.contextmanager
def _address_file(path: Path, url: str) -> Iterator[None]:
    staging = path.with_suffix(f".{os.getpid()}")
    try:
        # the creation time distinguishes a pid that was reused since
        address_file = {"url": url, "pid": os.getpid(), "created": psutil.Process().create_time()}
        path.parent.mkdir(parents=True, exist_ok=True)
        staging.write_text(json.dumps(address_file))
        os.replace(staging, path)
    except (OSError, psutil.Error) as error:  # serving works with a read-only var/, or a hidden /proc/stat
        _log.warning(
            "the address could not be noted; `recsys env` will not know it", file=str(path), error=str(error)
        )
    try:
        yield
    finally:
        # another server may have started since, and written its own
        with contextlib.suppress(OSError, ValueError):
            if json.loads(path.read_text())["pid"] == os.getpid():
                path.unlink()
