"""A text file of any encoding, compression and line end as a plain one: UTF-8, lines ended by LF."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from recsys.errors import Invalid
from recsys.imports.readers.compression import decompressed

__all__ = ["PlainText", "plain_text"]

_CHUNK = 8 << 20
LONGEST_LINE_BYTES = 64 << 20
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"))
_WIDE = {"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}


@dataclass
class PlainText:
    r"""The rewritten file.

    Attributes
    ----------
    path
        UTF-8 without byte order marks, lines ended by LF alone.
    encoding
        The name of the encoding that the source has.
    undecoded
        Physical lines (from 1) with bytes that are not of the encoding, shown as `\xff`.
    blank
        Physical lines with no character at all.
    lines
        How many physical lines there are.
    guessed
        Whether the encoding was neither given nor UTF-8.
    """

    path: Path
    encoding: str
    undecoded: list[int] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    lines: int = 0
    guessed: bool = False


def plain_text(source: Path, target: Path, encoding: str | None = None) -> PlainText:
    """Write `source` to `target` as PlainText describes it.

    Parameters
    ----------
    source, target
        The file, and the one to write.
    encoding
        None: UTF-8 or what a byte order mark says. A file that is not UTF-8 and holds no character of it
        beyond ASCII is then read as Windows-1252.

    Raises
    ------
    Invalid
        The bytes are no text.
    """
    if encoding is not None:
        _check_encoding(encoding)
        return _write(source, target, encoding)
    with decompressed(source) as stream:
        head = stream.read(4096)
    detected = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if detected is None and head.startswith(codecs.BOM_UTF16_BE):
        detected = "utf-16"
    if detected is None and b"\0" in head:
        detected = _wide_without_mark(source, head)
    written = _write(source, target, detected or "utf-8")
    if written.undecoded and detected is None and not written.has_multibyte:
        written = _write(source, target, "cp1252")
        written.guessed = True
    return written


@dataclass
class _Writing(PlainText):
    has_multibyte: bool = False


def _write(source: Path, target: Path, encoding: str) -> _Writing:
    written = _Writing(target, encoding)
    with decompressed(source) as stream, target.open("wb") as plain:
        target.chmod(0o600)
        wide = codecs.lookup(encoding).name.replace("_", "-") in _WIDE
        pieces = _transcoded(source, stream, encoding) if wide else _chunks(stream)
        rest, first = b"", True
        for piece in pieces:
            data = rest + piece
            if first:
                data = _without_marks(data)
                first = False
            # a CR at the end may be the first half of CR LF
            held = b"\r" if data.endswith(b"\r") else b""
            data = data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            end = data.rfind(b"\n") + 1
            rest = data[end:] + held
            if len(rest) > LONGEST_LINE_BYTES:
                raise Invalid(f"{source}: a line is longer than 64 MiB; is this a table?")
            plain.write(_decoded(data[:end], written, "utf-8" if wide else encoding))
        if rest:
            last = rest.replace(b"\r", b"\n")
            plain.write(
                _decoded(
                    last if last.endswith(b"\n") else last + b"\n", written, "utf-8" if wide else encoding
                )
            )
    return written


def _decoded(data: bytes, written: _Writing, encoding: str) -> bytes:
    """Whole lines as UTF-8; notes which of them are blank or not of the encoding."""
    if not data:
        return b""
    first = written.lines + 1
    written.lines += data.count(b"\n")
    if data.startswith(b"\n") or b"\n\n" in data:
        written.blank += [first + i for i, line in enumerate(data.split(b"\n")[:-1]) if not line]
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        lines = data.split(b"\n")[:-1]
        return b"".join(
            _decoded_line(line, number, written, encoding) + b"\n" for number, line in enumerate(lines, first)
        )
    if encoding != "utf-8":
        return text.encode()
    written.has_multibyte = written.has_multibyte or not data.isascii()
    return data


def _decoded_line(line: bytes, number: int, written: _Writing, encoding: str) -> bytes:
    try:
        text = line.decode(encoding)
    except UnicodeDecodeError:
        written.undecoded.append(number)
        return line.decode(encoding, errors="backslashreplace").encode()
    written.has_multibyte = written.has_multibyte or not line.isascii()
    return text.encode()


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while data := stream.read(_CHUNK):
        yield data


def _transcoded(source: Path, stream: IO[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for data in _chunks(stream):
            yield decoder.decode(data).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise Invalid(
            f"{source} is damaged: its text is not {encoding} ({error}); save it as UTF-8"
        ) from error


def _without_marks(data: bytes) -> bytes:
    while data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8) :]
    return data


def _wide_without_mark(source: Path, head: bytes) -> str | None:
    """UTF-16 of mostly ASCII characters has a zero in every second byte. Raises Invalid for binary data."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if half and odd > 0.6 * half and even < 0.1 * half:
        return "utf-16-le"
    if half and even > 0.6 * half and odd < 0.1 * half:
        return "utf-16-be"
    if b"\0" in head.split(b"\n", 1)[0]:
        raise Invalid(f"{source} is binary: neither CSV, JSON lines nor parquet")
    return None


def _check_encoding(encoding: str) -> None:
    try:
        info = codecs.lookup(encoding)
        "a".encode(encoding)
    except (LookupError, TypeError) as error:
        raise Invalid(
            f"--encoding {encoding} is unknown; expected utf-8, latin-1, cp1252, utf-16, shift_jis …"
        ) from error
    if not getattr(info, "_is_text_encoding", True):
        raise Invalid(f"--encoding {encoding} is not a text encoding; try utf-8 or cp1252")
