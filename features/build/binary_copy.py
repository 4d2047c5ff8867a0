"""PostgreSQL's binary COPY format, decoded whatever the boundaries of the chunks it came in.

Format: PostgreSQL manual, COPY, "Binary Format": an 11-byte signature, int32 flags, int32 length of a header
extension; then per record an int16 count of fields and for each field an int32 length (-1: NULL) with that
many bytes; an int16 of -1 ends the data. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from recsys.errors import Unavailable

__all__ = ["records"]

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER = struct.Struct("!11sii")
_INT16 = struct.Struct("!h")
_INT32 = struct.Struct("!i")
_CUT = "the answer of PostgreSQL ended in the middle of a record; run the command again"


def records(chunks: Iterable[bytes | bytearray | memoryview]) -> list[list[memoryview | None]]:
    """The records of a binary COPY.

    Meant for few records with large fields (columns packed by the server), not for a record per row.

    Returns
    -------
    list
        Each record a list of its fields (a view of the bytes, None for NULL).

    Raises
    ------
    Unavailable
        When the data is cut short or is no binary COPY.
    """
    data = memoryview(b"".join(chunks))
    if len(data) < _HEADER.size:
        raise Unavailable(_CUT)
    signature, flags, extension = _HEADER.unpack_from(data)
    if signature != SIGNATURE or flags & 0xFFFF0000 or extension < 0:
        raise Unavailable("PostgreSQL answered with something else than a binary COPY of a known version")
    position = _HEADER.size + extension
    found: list[list[memoryview | None]] = []
    while True:
        try:
            (fields,) = _INT16.unpack_from(data, position)
            position += 2
            if fields == -1:
                break
            record: list[memoryview | None] = []
            for _ in range(fields):
                (length,) = _INT32.unpack_from(data, position)
                position += 4
                if length == -1:
                    record.append(None)
                    continue
                if length < 0 or position + length > len(data):
                    raise Unavailable(_CUT)
                record.append(data[position : position + length])
                position += length
        except struct.error as error:
            raise Unavailable(_CUT) from error
        found.append(record)
    if position != len(data):
        raise Unavailable("PostgreSQL sent more after the end of a binary COPY; run the command again")
    return found
