"""Redis Cluster of three masters: Valkey of the embedded wheel in cluster mode."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from recsys.embedded.valkey import Valkey
from tests.support.servers import temporary_var

__all__ = ["RunningCluster", "redis_cluster"]

MASTERS = 3
_SLOTS = 16_384


@dataclass
class RunningCluster:
    """Its address, and the processes in the order of their ports."""

    url: str
    ports: list[int]
    processes: list[subprocess.Popen[bytes]]


def _free_port() -> int:
    """A port whose neighbour of the cluster's bus, 10,000 above, is free too."""
    while True:
        with socket.socket() as first, socket.socket() as bus:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            if port > 55_000:
                continue
            try:
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


@contextmanager
def redis_cluster() -> Iterator[RunningCluster]:
    """Run three masters that share the slots, without persistence."""
    with temporary_var("recsys-cluster-") as var:
        binary = Valkey(var / "servers", None)._binary()
        ports = [_free_port() for _ in range(MASTERS)]
        processes = [start_node(var, binary, port) for port in ports]
        try:
            _join(ports)
            places = ",".join(f"127.0.0.1:{port}" for port in ports)
            yield RunningCluster(f"redis+cluster://{places}", ports, processes)
        finally:
            for process in processes:
                process.kill()
                process.wait(30)


def start_node(var: Path, binary: Path, port: int) -> subprocess.Popen[bytes]:
    """One server in cluster mode."""
    folder = var / str(port)
    folder.mkdir(exist_ok=True)
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": folder,
        "save": "",
        "appendonly": "no",
        "cluster-enabled": "yes",
        "cluster-node-timeout": 2000,
        "enable-debug-command": "no",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return subprocess.Popen([str(binary), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def _join(ports: list[int]) -> None:
    clients = [redis.Redis(port=port, socket_timeout=5) for port in ports]
    try:
        for place, client in enumerate(clients):
            _until(lambda client=client: bool(client.ping()))  # type: ignore[misc]
            first, last = place * _SLOTS // MASTERS, (place + 1) * _SLOTS // MASTERS - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
        for client in clients:
            _until(lambda client=client: _is_whole(client))  # type: ignore[misc]
    finally:
        for client in clients:
            client.close()


def _is_whole(client: redis.Redis) -> bool:
    facts = client.execute_command("CLUSTER", "INFO")
    found = facts if isinstance(facts, dict) else {}
    text = facts.decode() if isinstance(facts, bytes) else ""
    state = found.get("cluster_state") == "ok" or "cluster_state:ok" in text
    known = str(found.get("cluster_known_nodes", "")) == str(MASTERS) or f"known_nodes:{MASTERS}" in text
    return state and known


def _until(condition: object) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            if condition():  # type: ignore[operator]
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < end, "the cluster does not come up"
        time.sleep(0.05)
