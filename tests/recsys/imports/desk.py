"""What the tests of imports share: files from text, an import in one call, and looks into the database."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from recsys.imports.files import import_files
from recsys.imports.readers.source import ReadOptions
from recsys.imports.report import ImportReport
from tests.support.shop import Shop

USERS = "user,full_name\nann,Ann Ant\nbob,Bob Bee\n"
PRODUCTS = (
    "product,name,price,category,brand,tags,description,created_at,stock\n"
    "tea,Green Tea,3.50,Drinks > Tea,Leafy,green|loose,From hills,2024-01-01,7\n"
    "mug,Mug,8,Kitchen,,,,2024-01-02T10:00:00+02:00,\n"
)
HEADER = "user,product,interaction_type,created_at,interaction_value,session_id,event_id,context\n"
EVENTS = HEADER + (
    "ann,tea,view,2024-03-01T10:00:00Z,,s1,,\n"
    "ann,tea,purchase,2024-03-01T10:05:00Z,2,s1,,\n"
    "bob,mug,like,1709287200,,,,\n"
    ",mug,view,2024-03-02 08:00:00,,guest-1,,\n"
)


class Desk:
    """Imports files written from text into one shop."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop = shop
        self.folder = folder
        self.refused_file = folder / "refused.csv"

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def take(
        self,
        *,
        create_missing: bool = False,
        options: ReadOptions | None = None,
        **contents: str | bytes | Path | list[Path],
    ) -> ImportReport:
        """Import `users`, `products`, `interactions`, each paths or what the CSV file holds."""
        paths: dict[str, list[Path]] = {"users": [], "products": [], "interactions": []}
        for kind, content in contents.items():
            if isinstance(content, list):
                paths[kind] = content
            else:
                paths[kind] = [content if isinstance(content, Path) else self.write(f"{kind}.csv", content)]
        return import_files(
            users=paths["users"],
            products=paths["products"],
            interactions=paths["interactions"],
            create_missing=create_missing,
            refused_file=self.refused_file,
            progress=lambda *_: None,
            options=options,
        )

    def refused(self) -> list[tuple[str, int, str, str]]:
        """(file, line, reason, row) of the file of refused rows."""
        return [(row["file"], int(row["line"]), row["reason"], row["row"]) for row in self.refused_rows()]

    def refused_rows(self) -> list[dict[str, str]]:
        """The file of refused rows, with its columns as names."""
        with self.refused_file.open(newline="") as stream:
            return list(csv.DictReader(stream))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.shop.connect() as connection:
            return connection.execute(query.encode()).fetchall()

    def number(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608


def counts(report: ImportReport, table: str) -> tuple[int, int, int, int, int]:
    """read, added, updated, already there, refused"""
    one = report.tables[table]
    return one.read, one.added, one.updated, one.already_there, one.refused
