"""Draws a whole shop, block by block, into files or into PostgreSQL, with its truth beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np
import polars as pl

from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid
from recsys.imports.report import peak_memory_mib
from recsys.simulation.catalogue import draw_truth, product_frame
from recsys.simulation.files import FORMS, ShopFiles
from recsys.simulation.frames import interaction_frame, user_frame
from recsys.simulation.parameters import ShopParameters
from recsys.simulation.sessions import SessionGenerator
from recsys.simulation.tables import ShopTables

__all__ = ["SimulationReport", "simulate"]

Progress = Callable[[str, int, int], None]


class ShopStore(Protocol):
    """What takes the frames of a shop: first the products, then each block's users and interactions."""

    def products(self, frame: pl.DataFrame) -> None:
        """Take all products."""

    def block(self, users: pl.DataFrame, interactions: pl.DataFrame) -> None:
        """Take some users and their interactions."""

    def finish(self) -> list[str]:
        """Complete the shop; return the commands to go on with."""


@dataclass
class SimulationReport:
    """What was made, in which folder; `next` holds the commands to go on with."""

    folder: str
    users: int
    products: int
    categories: int
    interactions: int
    by_type: dict[str, int]
    first_day: str
    until: str
    seed: int
    next: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_mib: float = 0.0


def simulate(
    parameters: ShopParameters, folder: Path, *, form: str, database: bool, progress: Progress
) -> SimulationReport:
    """Make the shop; memory holds the truth and one block, whatever the number of interactions.

    Parameters
    ----------
    parameters
        What the shop is drawn from.
    folder
        An empty folder, or one to make; the truth is written there, too.
    form
        Of the files: parquet or csv.
    database
        Into the tables of `recsys` instead of files.
    progress
        Gets what is done, of how much.

    Raises
    ------
    Invalid
        The folder has files, or the form is another.
    Conflict
        The database has interactions already.
    """
    began = perf_counter()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Invalid(f"{folder} is not an empty folder; name an empty folder, or a new one")
    if form not in FORMS:
        raise Invalid(f"--format {form!r} is not one of {', '.join(FORMS)}")
    counts = np.zeros(len(INTERACTION_TYPES), np.int64)
    with ExitStack() as stack:
        # first, so that a database that cannot take the shop leaves no files behind
        tables = stack.enter_context(ShopTables()) if database else None
        folder.mkdir(parents=True, exist_ok=True)
        progress("tastes", 0, 1)
        truth = draw_truth(parameters)
        truth.save(folder)
        progress("tastes", 1, 1)
        store: ShopStore = ShopFiles(folder, form) if tables is None else tables
        store.products(product_frame(truth))
        generator = SessionGenerator(truth)
        done = 0
        for block in generator.blocks():
            store.block(user_frame(truth, block), interaction_frame(truth, block))
            counts += np.bincount(block.kind, minlength=counts.size)
            done += block.users
            progress("interactions", done, parameters.users)
        notes = store.finish()
    return SimulationReport(
        folder=str(folder),
        users=parameters.users,
        products=parameters.products,
        categories=truth.category_vectors.shape[0],
        interactions=int(counts.sum()),
        by_type={name: int(count) for name, count in zip(INTERACTION_TYPES, counts, strict=True) if count},
        first_day=truth.first_day.isoformat(),
        until=parameters.until.isoformat(),
        seed=parameters.seed,
        next=notes,
        seconds=round(perf_counter() - began, 3),
        peak_memory_mib=round(peak_memory_mib(), 1),
    )
