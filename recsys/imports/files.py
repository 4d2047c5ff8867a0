"""Users, products and interactions from files (CSV, JSON lines, parquet), in batches that memory bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from glob import glob
from pathlib import Path
from time import perf_counter

import polars as pl

from recsys import clock
from recsys.domains.products.cache import forget_all as forget
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid
from recsys.imports.embeddings import COLUMN as EMBEDDING
from recsys.imports.embeddings import EmbeddingLength
from recsys.imports.event_ids import event_ids
from recsys.imports.loading.changes import published_changes
from recsys.imports.loading.id_cache import KnownIds
from recsys.imports.loading.interactions import merge_interactions
from recsys.imports.loading.products import merge_products, product_ids
from recsys.imports.loading.staging import Connection, analyze, batch_transaction
from recsys.imports.loading.users import merge_users, user_ids
from recsys.imports.loading.variants import divide, merge_variants, parents_of
from recsys.imports.prefetch import ahead
from recsys.imports.readers.doubtful_ids import doubt_notes, doubtful_ids
from recsys.imports.readers.mapping import ColumnMapping
from recsys.imports.readers.rows import (
    INTERACTIONS,
    INTERACTIONS_WITHOUT_TIMES,
    PRODUCTS,
    USERS,
    FileKind,
    bare_products,
    bare_users,
    parse_interactions,
    parse_products,
    parse_users,
)
from recsys.imports.readers.source import ReadOptions, open_source
from recsys.imports.readers.source_file import SourceFile
from recsys.imports.readers.validation import MOMENT, split
from recsys.imports.refusals import Refusals
from recsys.imports.repeat_counter import Occurrences
from recsys.imports.report import ImportReport

__all__ = ["import_files", "open_sources", "parsed_batches"]

Progress = Callable[[str, int, int], None]
_PATTERN = "*?["
VECTOR_LINES = 4_000
"""At once of a file with vectors: a line of the longest ones has 80 kB."""
TABLES = (
    "users_db.users",
    "products_db.categories",
    "products_db.brands",
    "products_db.products",
    "products_db.product_variants",
    "recommendations_db.user_interactions",
    "recommendations_db.interaction_events",
)


@dataclass(frozen=True)
class ParsedBatch:
    """One batch whose rows are checked as far as that goes without the database.

    Attributes
    ----------
    rows
        The records that passed the checks.
    unread
        `line`, `column`, `reason`, `raw` of what is no record.
    refused
        `line`, `column`, `reason` of the records that failed a check.
    read
        Number of the records that were read, refused ones included.
    done
        How much of the source is read, as `RecordBatch.done`.
    """

    rows: pl.DataFrame
    unread: pl.DataFrame
    refused: pl.DataFrame
    read: int
    done: int


def import_files(
    *,
    users: Sequence[Path] = (),
    products: Sequence[Path] = (),
    interactions: Sequence[Path] = (),
    create_missing: bool,
    refused_file: Path,
    progress: Progress,
    options: ReadOptions | None = None,
    mappings: Mapping[str, ColumnMapping] | None = None,
    stated: Sequence[str] = (),
) -> ImportReport:
    """Import the files that are given, each batch in a transaction of its own.

    All files are read and their columns checked before anything is written.

    Parameters
    ----------
    users, products, interactions
        The files of each kind.
    create_missing
        Create the unknown users and products of interactions.
    refused_file
        Where refused rows go.
    progress
        Gets what is done, of how much.
    options
        How the files are read; None: found out from each file.
    mappings
        By kind of file (users, products, interactions).
    stated
        Columns that some file has to have.

    Raises
    ------
    Invalid
        A file or a column is missing, or cannot be read; in one line.
    """
    began = perf_counter()
    report = ImportReport(Refusals(refused_file))
    with ExitStack() as stack:
        sources = open_sources(stack, users, products, interactions, options, mappings or {}, stated)
        importer = _Importer(report, clock.now(), create_missing, progress)
        for kind, source in sources:
            _note(report, kind, source)
            importer.take(kind, source)
        importer.date_back()
    progress("analysing", 0, 1)
    analyze(TABLES)
    progress("analysing", 1, 1)
    report.seconds = perf_counter() - began
    return report


def open_sources(
    stack: ExitStack,
    users: Sequence[Path],
    products: Sequence[Path],
    interactions: Sequence[Path],
    options: ReadOptions | None,
    mappings: Mapping[str, ColumnMapping],
    stated: Sequence[str] = (),
) -> list[tuple[FileKind, SourceFile]]:
    """Open all files; return each with its kind. They are closed with the stack.

    Parameters
    ----------
    stack
        What closes the files.
    users, products, interactions
        The files of each kind.
    options
        How the files are read; None: found out from each file.
    mappings
        By kind of file.
    stated
        Columns that some file has to have.

    Raises
    ------
    Invalid
        No file is given, a file is unreadable, or a column of `stated` is in no file.
    """
    events = INTERACTIONS_WITHOUT_TIMES if options is not None and options.no_times else INTERACTIONS
    given = (
        ("users", USERS, users),
        ("products", PRODUCTS, products),
        ("interactions", events, interactions),
    )
    sources = [
        (
            kind,
            stack.enter_context(open_source(path, kind.required, kind.optional, options, mappings.get(name))),
        )
        for name, kind, paths in given
        for path in _expanded(paths)
    ]
    if not sources:
        raise Invalid("no file is given; name at least one of --interactions, --products, --users")
    read = set().union(*(source.used for _, source in sources))
    for column in stated:
        if column.lower() not in read and column.lower().split(".")[0] not in read:
            raise Invalid(f"--map {column}=…: no file has a column {column}")
    return sources


def _expanded(paths: Sequence[Path]) -> list[Path]:
    """The files that paths, folders and patterns (`events-*.csv`) name, each once. Raises Invalid for none.

    Of a folder all below it, but files and folders whose names begin with `.` or `_`, such as Spark's
    `_SUCCESS` and Delta's `_delta_log`.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file() and not _is_hidden(each, path))
            if not inside:
                raise Invalid(f"the folder {path} has no files")
            files += inside
            continue
        if path.exists() or not any(mark in str(path) for mark in _PATTERN):
            files.append(path)
            continue
        matching = sorted(map(Path, glob(str(path), recursive=True)))
        if not matching:
            raise Invalid(f"{path} matches no file")
        files += matching
    return list(dict.fromkeys(files))


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)


def _note(report: ImportReport, kind: FileKind, source: SourceFile) -> None:
    report.notes += source.notes
    if kind is INTERACTIONS_WITHOUT_TIMES:
        report.notes.append(
            f"{source.name}: its events have no times and are stored as of now; lists follow no order and no "
            "season"
        )
    if source.unknown:
        report.notes.append(f"{source.name}: ignored the columns {', '.join(source.unknown)}")
    doubts = doubtful_ids(source, kind.ids)
    if doubts:
        report.doubtful_ids.setdefault(source.name, {}).update(doubts)
        report.notes += doubt_notes(source.name, doubts)


class _Importer:
    """One import: its moment, what it may do, and what it reports to."""

    def __init__(self, report: ImportReport, now: datetime, create_missing: bool, progress: Progress) -> None:
        self._report = report
        self._now = now
        self._create_missing = create_missing
        self._progress = progress
        self._earliest: datetime | None = None

    def take(self, kind: FileKind, source: SourceFile) -> None:
        """Import one file of the kind."""
        if kind is USERS:
            self._users(source)
        elif kind is PRODUCTS:
            self._products(source)
        else:
            self._interactions(source, kind)

    def _users(self, source: SourceFile) -> None:
        """Every user of the file that is not there yet."""
        counts, began = self._report.table("users"), perf_counter()
        for batch in self._batches(source, USERS):
            with batch_transaction("catalogue") as connection:
                merged = merge_users(connection, batch.rows, self._now)
            taken = batch.rows.filter(pl.col("line").is_in(merged.taken)).select(
                "line", column=pl.lit("email"), reason=pl.lit("email belongs to another user")
            )
            counts.added += merged.added
            counts.already_there += merged.already_there
            self._account(source, "users", batch, taken)
            counts.seconds = perf_counter() - began

    def _products(self, source: SourceFile) -> None:
        """Every product of the file: added, or brought up to date."""
        counts, began = self._report.table("products"), perf_counter()
        of_variants, written, kept = self._report.table("product_variants"), set[str](), 0
        with batch_transaction() as connection:
            length = EmbeddingLength.stored(connection)
        for batch in self._batches(source, PRODUCTS, length):
            with batch_transaction("catalogue") as connection:
                rows = divide(connection, batch.rows)
                products = pl.concat([rows.products, parents_of(rows.variants, rows.products, written)])
                skus = [*products["sku"], *rows.variants["variant_of"]]
                with published_changes(connection, skus, self._now):
                    merged = merge_products(connection, products, source.fields, self._now)
                    variants = merge_variants(connection, rows.variants, self._now)
            forget(merged.changed | variants.changed)
            kept += rows.kept
            of_variants.added += variants.added
            of_variants.updated += variants.updated
            of_variants.already_there += variants.already_there
            counts.added += merged.added
            counts.updated += merged.updated
            counts.already_there += merged.already_there
            for name, added, updated in (
                ("product_variants", merged.variants_added, merged.variants_updated),
                ("categories", merged.categories_added, 0),
                ("brands", merged.brands_added, 0),
                ("product_embeddings", merged.embeddings_added, merged.embeddings_changed),
            ):
                self._report.table(name).added += added
                self._report.table(name).updated += updated
            self._account(source, "products", batch, rows.taken)
            counts.seconds = perf_counter() - began
        if kept:
            self._report.notes.append(
                f"{source.name}: {kept:,} variants have the SKU of a product, and stay products"
            )

    def _interactions(self, source: SourceFile, kind: FileKind) -> None:
        """Every event of the file whose user and product are known."""
        counts, began = self._report.table("user_interactions"), perf_counter()
        users, products = KnownIds(user_ids), KnownIds(product_ids)
        missing_users = missing_products = 0
        for batch in self._batches(source, kind):
            rows = batch.rows
            with batch_transaction(*(["catalogue"] if self._create_missing else [])) as connection:
                if self._create_missing:
                    missing_users += self._create_users(connection, rows, users)
                    missing_products += self._create_products(connection, rows, products)
                rows = rows.with_columns(
                    users.of(connection, rows["user"]).alias("user_id"),
                    products.of(connection, rows["product"]).alias("product_id"),
                )
                known, unknown = split(
                    rows,
                    [
                        ("user", "unknown user", pl.col("user").is_not_null() & pl.col("user_id").is_null()),
                        ("product", "unknown product", pl.col("product_id").is_null()),
                    ],
                )
            with batch_transaction("interactions") as connection:
                merged = merge_interactions(connection, known)
            if known.height:
                first = known["created_at"].min()
                if isinstance(first, datetime) and (self._earliest is None or first < self._earliest):
                    self._earliest = first
            counts.added += merged.added
            counts.already_there += merged.already_there
            self._account(source, "user_interactions", batch, unknown)
            counts.seconds = perf_counter() - began
        if missing_users or missing_products:
            self._report.notes.append(
                f"created what was missing: {missing_users} users and {missing_products} products "
                "(name = id, price 0); import --products to give them names and prices"
            )
        reasons = self._report.refusals.counts.get(source.name, {})
        if any(reason.startswith("unknown interaction_type") for reason in reasons):
            self._report.notes.append(
                f"the known interaction types are {', '.join(INTERACTION_TYPES)}; "
                "translate others: --type click=view"
            )
        if not self._create_missing and ("unknown user" in reasons or "unknown product" in reasons):
            self._report.notes.append(
                "rows refer to users or products that are not known: give --users and --products, "
                "or let --create-missing make bare ones"
            )

    def date_back(self) -> None:
        """Users and products without a date were there when the first event happened."""
        if self._earliest is None or self._earliest >= self._now:
            return
        with batch_transaction("catalogue") as connection:
            for table in (b"users_db.users", b"products_db.products", b"products_db.product_variants"):
                # `now` to the microsecond marks what this import added without a date
                connection.execute(
                    b"UPDATE " + table + b" SET created_at = %s WHERE created_at = %s",
                    (self._earliest, self._now),
                )

    def _create_users(self, connection: Connection, rows: pl.DataFrame, known: KnownIds) -> int:
        missing = known.missing(connection, rows["user"])
        if not missing.len():
            return 0
        added = merge_users(connection, bare_users(missing, rows), self._now).added
        self._report.table("users").added += added
        return added

    def _create_products(self, connection: Connection, rows: pl.DataFrame, known: KnownIds) -> int:
        missing = known.missing(connection, rows["product"])
        if not missing.len():
            return 0
        merged = merge_products(connection, bare_products(missing, rows), (), self._now)
        self._report.table("products").added += merged.added
        self._report.table("product_variants").added += merged.variants_added
        return merged.added

    def _batches(
        self, source: SourceFile, kind: FileKind, length: EmbeddingLength | None = None
    ) -> Iterator[ParsedBatch]:
        self._progress(kind.name, 0, source.total)
        yield from ahead(parsed_batches(source, kind, self._now, length))

    def _account(
        self, source: SourceFile, table: str, batch: ParsedBatch, more: pl.DataFrame | None = None
    ) -> None:
        later = [batch.refused, *([] if more is None else [more])]
        refused = pl.concat([batch.unread, source.with_raw(pl.concat(later))]).sort(
            "line", maintain_order=True
        )
        counts = self._report.table(table)
        counts.read += batch.read
        counts.refused += self._report.refusals.add(source.name, refused)
        self._progress(table, batch.done, source.total)


def parsed_batches(
    source: SourceFile, kind: FileKind, now: datetime, length: EmbeddingLength | None = None
) -> Iterator[ParsedBatch]:
    """The batches of the file, checked as far as that goes without the database.

    Parameters
    ----------
    source
        The file.
    kind
        What it holds.
    now
        The moment of the import.
    length
        Of the vectors that the shop has; None: of the file's first one.
    """
    occurrences, emails, length = Occurrences(), Occurrences(), length or EmbeddingLength()
    for batch in source.batches(VECTOR_LINES if EMBEDDING in source.fields else None):
        if kind is USERS:
            rows, refused = parse_users(batch.rows, occurrences, emails, now)
        elif kind is PRODUCTS:
            rows, refused = parse_products(batch.rows, occurrences, now, length)
        else:
            has_times = kind is INTERACTIONS
            rows, refused = parse_interactions(batch.rows, now, has_times=has_times)
            rows = rows.with_columns(event_ids(rows, occurrences).alias("event_id"))
            if not has_times:  # after the ids: a second import of the same file must find the same ones
                rows = rows.with_columns(created_at=pl.lit(now, dtype=MOMENT))
        read = batch.rows.height + batch.refused.height
        yield ParsedBatch(rows, batch.refused, refused, read, batch.done)
