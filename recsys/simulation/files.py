"""A simulated shop as files that `recsys import csv` takes."""

from __future__ import annotations

import shlex
from pathlib import Path

import polars as pl

__all__ = ["FORMS", "ShopFiles"]

FORMS = ("parquet", "csv")


class ShopFiles:
    """`products.FORM`, and in the folders `users/` and `interactions/` one file for each block."""

    def __init__(self, folder: Path, form: str) -> None:
        """Begin the files in a folder.

        Parameters
        ----------
        folder
            Exists, without the folders `users/` and `interactions/`.
        form
            One of FORMS.
        """
        self._folder, self._form, self._blocks = folder, form, 0
        for name in ("users", "interactions"):
            (folder / name).mkdir()

    def products(self, frame: pl.DataFrame) -> None:
        """Write all products."""
        self._write(frame, self._folder / f"products.{self._form}")

    def block(self, users: pl.DataFrame, interactions: pl.DataFrame) -> None:
        """Write one file of users and one of interactions."""
        name = f"part-{self._blocks:05d}.{self._form}"
        self._blocks += 1
        self._write(users, self._folder / "users" / name)
        self._write(interactions, self._folder / "interactions" / name)

    def finish(self) -> list[str]:
        """Return the command that imports the files."""
        given = " ".join(
            f"--{kind} {shlex.quote(str(self._folder / path))}"
            for kind, path in (
                ("products", f"products.{self._form}"),
                ("users", f"users/*.{self._form}"),
                ("interactions", f"interactions/*.{self._form}"),
            )
        )
        return [f"recsys import csv {given}"]

    def _write(self, frame: pl.DataFrame, path: Path) -> None:
        if self._form == "parquet":
            frame.write_parquet(path)
        else:
            frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%S%:z")
