"""Compressed files as plain bytes, and a message for formats that are not tables."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import zstandard

from recsys.errors import Invalid

__all__ = ["decompressed", "is_parquet"]

_OTHER_FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", "save it as 'CSV UTF-8'"),
    (b"SQLite format 3\0", "an SQLite database", "export its tables as CSV"),
    (b"%PDF", "a PDF document", "export the data as CSV"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"ORC", "an ORC file", "write it as parquet"),
    (b"Obj\x01", "an Avro file", "write it as parquet or JSON lines"),
    (b"ARROW1", "an Arrow IPC (Feather) file", "write it as parquet"),
    (b"{\\rtf", "an RTF document", "save it as plain text"),
)
_HEAD = 512
_TAR = (257, b"ustar")
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile)


def is_parquet(path: Path) -> bool:
    """Whether the file begins as parquet files do."""
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"


@contextmanager
def decompressed(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of the file, unpacked from gzip, bzip2, xz, Zstandard, or a zip archive of one file.

    Raises
    ------
    Invalid
        The file is damaged, or of a format that is known but not read; with its name.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(0)
        _refuse_other_formats(path, head)
        try:
            with _opened(path, file, head) as stream:
                yield stream
        except _DAMAGE as error:
            raise Invalid(f"{path} is a damaged {_name(head)} file ({error}); pack it again") from error
        except OSError as error:
            # bz2 raises a bare OSError for damaged data
            if error.errno is None:
                raise Invalid(f"{path} is a damaged {_name(head)} file ({error}); pack it again") from error
            raise


def _opened(path: Path, file: IO[bytes], head: bytes) -> IO[bytes]:
    match _name(head):
        case "gzip":
            return cast(IO[bytes], gzip.GzipFile(fileobj=file))
        case "bzip2":
            return cast(IO[bytes], bz2.BZ2File(file))
        case "xz":
            return cast(IO[bytes], lzma.LZMAFile(file))
        case "zstd":
            return cast(IO[bytes], zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
        case "zip":
            return _only_member(path, file)
    return file


def _name(head: bytes) -> str:
    for magic, name in (
        (b"\x1f\x8b", "gzip"),
        (b"BZh", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\x03\x04", "zip"),
        (b"PK\x05\x06", "zip"),
    ):
        if head.startswith(magic):
            return name
    return "plain"


def _only_member(path: Path, file: IO[bytes]) -> IO[bytes]:
    archive = zipfile.ZipFile(file)
    names = [
        name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")
    ]
    if any(name.startswith("xl/") for name in names):
        raise Invalid(f"{path} is an Excel workbook (.xlsx); save it as 'CSV UTF-8' and import that file")
    if "content.xml" in names and "mimetype" in names:
        raise Invalid(f"{path} is an OpenDocument file; save it as CSV and import that file")
    if len(names) != 1:
        listed = ", ".join(names[:5]) or "nothing"
        raise Invalid(
            f"{path} is a zip archive of {len(names)} files ({listed}); unpack it and name each file"
        )
    try:
        return archive.open(names[0])
    except RuntimeError as error:
        raise Invalid(f"{path} is an encrypted zip archive; unpack it first") from error


def _refuse_other_formats(path: Path, head: bytes) -> None:
    for magic, name, remedy in _OTHER_FORMATS:
        if head.startswith(magic):
            raise Invalid(f"{path} is {name}, which is not read; {remedy}")
    if head[_TAR[0] :].startswith(_TAR[1]):
        raise Invalid(f"{path} is a tar archive; unpack it and name each file")
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise Invalid(f"{path} is a web page, not a table; was it saved from a page that asks for a log-in?")
