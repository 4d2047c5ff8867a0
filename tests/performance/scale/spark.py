"""Seconds of `--engine spark` with 1, 2 and 4 processes beside those of this machine's own engine.

Run it by `python -m tests.performance.scale.spark [--users 5000] [--processes 1,2,4] [--json]`. It makes a
simulated shop in servers of its own, takes it through a build, a training and a scoring with each engine,
and compares what they made: the fingerprint of the dataset, and the lists of all users. `seconds` are those
of the work, without the start of Java and of a session, which `wall` has, too; `processor` adds up the
processor seconds of the command, Java and all workers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from recsys import embedded
from recsys.domains.recommendations.stored_lists.codec import unpack
from recsys.settings import Settings
from tests.support.servers import ROOT, temporary_var

COMMANDS = {
    "features build": ["features", "build", "--full"],
    "train run": ["train", "run"],
    "serve score": ["serve", "score"],
}


@dataclass(frozen=True)
class Taken:
    """What one command took, in seconds; processes: 0 for the local engine."""

    command: str
    processes: int
    seconds: float
    wall: float
    processor: float


def run(environment: dict[str, str], *arguments: str) -> tuple[dict[str, Any], float, float]:
    """The JSON of one command, its seconds and its processor seconds. Raises SystemExit when it fails."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "recsys", *arguments, "--json"],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"recsys {' '.join(arguments)}: {done.stderr[-2000:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), wall, used


def lists_of(url: str, generation: int) -> dict[int, Any]:
    """The stored lists of a generation by user."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT user_id, list FROM recommendations_db.stored_lists WHERE generation_id = %s", [generation]
        ).fetchall()
    return {user: (stored.entries, stored.new) for user, packed in rows if (stored := unpack(packed))}


def measure(users: int, processes: list[int], experiment: str) -> tuple[list[Taken], dict[str, bool]]:
    """What each command took with each engine, and whether both made the same."""
    taken, same = [], {"dataset": True, "lists": True}
    with temporary_var("recsys-spark-") as var:
        found = embedded.start(Settings(var=var, environment="test"), throwaway=True)
        environment = {"RECSYS_VAR": str(var), "RECSYS_LOG_LEVEL": "WARNING", "RECSYS_BATCH_NICENESS": "0"}
        subprocess.run(
            [sys.executable, "-m", "recsys", "migrate"],
            cwd=ROOT, env=os.environ | environment, check=True, capture_output=True,
        )  # fmt: skip
        sizes = ("--users", str(users), "--products", str(users // 3), "--interactions", str(users * 60))
        run(environment, "simulate", str(var / "simulated"), *sizes, "--database")
        fingerprint, lists = "", {}
        for count in (0, *processes):
            engine = ["--engine", "spark", "--master", f"local[{count}]"] if count else []
            for name, command in COMMANDS.items():
                own = [experiment] if name == "train run" else []
                made, wall, used = run(environment, *command, *own, *engine)
                taken.append(Taken(name, count, float(made["seconds"]), wall, used))
                if name == "features build":
                    fingerprint = fingerprint or made["fingerprint"]
                    same["dataset"] &= made["fingerprint"] == fingerprint
                if name == "serve score":
                    stored = lists_of(found.database_url, made["generation"])
                    lists = lists or stored
                    same["lists"] &= stored == lists
    return taken, same


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--processes", default="1,2,4")
    parser.add_argument("--experiment", default="co_visitation_by_type")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    processes = [int(count) for count in given.processes.split(",")]
    taken, same = measure(given.users, processes, given.experiment)
    if given.json:
        sys.stdout.write(
            json.dumps({"users": given.users, "taken": [asdict(t) for t in taken], **same}) + "\n"
        )
        return
    table = Table("command", "engine", "seconds", "wall", "processor seconds")
    for each in taken:
        engine = f"spark, {each.processes} processes" if each.processes else "local"
        table.add_row(
            each.command, engine, f"{each.seconds:.1f}", f"{each.wall:.1f}", f"{each.processor:.1f}"
        )
    console = Console()
    console.print(table)
    console.print(f"the same dataset: {same['dataset']}; the same lists of all users: {same['lists']}")


if __name__ == "__main__":
    main()
