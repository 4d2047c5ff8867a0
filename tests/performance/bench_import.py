"""Import of The Complete Journey against a bare COPY of the same bytes into the same indexed tables.

Run as `python -m tests.performance.bench_import`. Both go into fresh databases of an embedded server that is
thrown away. The floor is a single `COPY … FROM STDIN` per table, in the order of their foreign keys, of what
the import stored: it checks nothing, looks nothing up and makes no ids.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from time import perf_counter

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from recsys import embedded
from recsys.database.addresses import libpq_url
from recsys.database.migrate import upgrade
from recsys.imports.complete_journey.importer import TABLES, data_folder, import_complete_journey
from recsys.imports.report import peak_memory_mib
from recsys.settings import Settings, get_settings
from tests.support.servers import temporary_var

TARGET = 1 / 3
PIECE = 1 << 20


def main() -> None:
    """Print the rows per second of both, and the ratio that must not fall below a third."""
    console = Console()
    with temporary_var("recsys-bench-") as var, tempfile.TemporaryDirectory() as dumps:
        os.environ["RECSYS_VAR"] = str(var)
        get_settings.cache_clear()
        settings = Settings()
        embedded.start(settings)
        try:
            source = libpq_url(settings)
            upgrade(source)
            console.print("importing …")
            began = perf_counter()
            report = import_complete_journey(data_folder(None), var / "refused.csv", lambda *_: None)
            imported = perf_counter() - began
            rows, size = _dump(source, Path(dumps))
            began = perf_counter()
            again = import_complete_journey(data_folder(None), var / "refused.csv", lambda *_: None)
            second = perf_counter() - began
            assert sum(counts.added for counts in again.tables.values()) == 0
            console.print("copying the same bytes …")
            copied = _bare_copy(_fresh(source), Path(dumps))
        finally:
            embedded.stop(settings)
    table = Table(title=f"{rows:,} rows, {size / 1e6:,.0f} MB, {len(TABLES)} tables")
    table.add_column("")
    table.add_column("seconds", justify="right")
    table.add_column("rows/s", justify="right")
    table.add_row("import complete-journey", f"{imported:.1f}", f"{rows / imported:,.0f}")
    table.add_row("the same again (adds nothing)", f"{second:.1f}", "")
    table.add_row("bare COPY", f"{copied:.1f}", f"{rows / copied:,.0f}")
    console.print(table)
    console.print(
        f"ratio {copied / imported:.2f} (at least {TARGET:.2f}); "
        f"{report.refusals.total:,} refused; peak memory {peak_memory_mib():,.0f} MiB"
    )
    if copied / imported < TARGET:
        raise SystemExit(1)


def _dump(url: str, folder: Path) -> tuple[int, int]:
    """Every table to a file of its name; how many rows and bytes that is."""
    rows = size = 0
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for name in TABLES:
            path = folder / name
            statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(*name.split(".")))
            with path.open("wb") as file, cursor.copy(statement) as copy:
                for piece in copy:
                    file.write(piece)
            rows += cursor.rowcount
            size += path.stat().st_size
    return rows, size


def _fresh(url: str) -> str:
    """The address of a new, migrated database on the same server."""
    base, _, _ = url.rpartition("/")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bench")
    upgrade(f"{base}/bench")
    return f"{base}/bench"


def _bare_copy(url: str, folder: Path) -> float:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        began = perf_counter()
        for name in TABLES:
            statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(*name.split(".")))
            with (folder / name).open("rb") as file, cursor.copy(statement) as copy:
                while piece := file.read(PIECE):
                    copy.write(piece)
            connection.commit()
        return perf_counter() - began


if __name__ == "__main__":
    main()
