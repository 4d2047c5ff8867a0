"""Files of many dialects give the same rows with their lines, and a bad line spoils no other."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import Invalid
from recsys.imports.readers.csv_table import MOST_READS
from recsys.imports.readers.source import ReadOptions, open_source
from tests.recsys.imports.readers.reading import Rows, read

TABLE = b"user,product\nann,tea\nbob,mug\n"


def write(tmp_path: Path, content: bytes, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_faulty_lines_are_refused_where_they_stand(tmp_path: Path, size: int) -> None:
    path = write(
        tmp_path,
        b"\xef\xbb\xbfa,b,c\n"
        b"1,x,pl\xc3\xa4in\n"
        b'"2,2",x,"two\nlines ""q"""\n'  # lines 3 and 4
        b'3,x,5" pipe\n'
        b'4,x,"never closed\n'
        b"5,x,\r\n"
        b"\n"
        b"6,x\n"
        b"7,x,y,z\n"
        b"\xff8,x,y\n"
        b"9\x00,x,y\n"
        b'"10","x","y"\n'
        b'"11","a,b","y"\n'
        b'12,x,"q"z\n'
        b'13,x,"last"',
    )
    rows, refused = read(path, ("a", "b", "c"), size)
    assert rows == [
        (2, "1", "x", "pläin"),
        (3, "2,2", "x", 'two\nlines "q"'),
        (5, "3", "x", '5" pipe'),
        (7, "5", "x", None),
        (13, "10", "x", "y"),
        (14, "11", "a,b", "y"),
        (16, "13", "x", "last"),
    ]
    assert refused == [
        (6, None, "quote never closed", '4,x,"never closed'),
        (9, None, "not 3 fields", "6,x"),
        (10, None, "not 3 fields", "7,x,y,z"),
        (11, None, "not UTF-8", "\\xff8,x,y"),
        (12, "a", "NUL character", "9\0,x,y"),
        (15, "c", "text behind a closing quote", '12,x,"q"z'),
    ]


CELLS = st.text(st.sampled_from("ab,;\t|\"'\n éß€x1\\"), max_size=6).map(lambda text: text.strip(" \t\n"))
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def written(
    table: list[tuple[str, str, str]], separator: str, quoting: int, escape: bool, blank_after: str
) -> tuple[str, Rows]:
    """The text of the file with LF, a blank line behind every third row, and the rows with their lines."""
    out = io.StringIO()
    kind = (
        csv.writer(out, delimiter=separator, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
        if not escape
        else csv.writer(
            out,
            delimiter=separator,
            quoting=csv.QUOTE_ALL,
            lineterminator="\n",
            doublequote=False,
            escapechar="\\",
        )
    )
    kind.writerow(["a", "b", "c"])
    rows: Rows = []
    for number, row in enumerate(table):
        rows.append((out.getvalue().count("\n") + 1, *(cell or None for cell in row)))
        kind.writerow(row)
        if number % 3 == 2:
            out.write("\n")
    text = out.getvalue()
    if blank_after and quoting == csv.QUOTE_ALL and separator != " ":
        text = text.replace(f'"{separator}"', f'"{separator}{blank_after}"')
    return text, rows


@settings(max_examples=120, deadline=None)
@given(
    table=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8).filter(
        lambda rows: all(any(row) for row in rows)
    ),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252", "iso8859-15"]),
    compression=st.sampled_from(sorted(COMPRESSED)),
    preamble=st.sampled_from(["", "\n", "\n\n", "sep"]),
    size=st.sampled_from([1, 3, None]),
)
def test_every_dialect_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[str, str, str]],
    separator: str,
    quoting: int,
    line_end: str,
    encoding: str,
    compression: str,
    preamble: str,
    size: int | None,
) -> None:
    text, rows = written(table, separator, quoting, False, "")
    before = f"sep={separator}\n" if preamble == "sep" else preamble
    shift = before.count("\n")
    rows = [(int(str(line)) + shift, *cells) for line, *cells in rows]
    content = (before + text).replace("\n", line_end).encode(encoding)
    path = write(tmp_path_factory.mktemp("csv"), COMPRESSED[compression](content))
    given = {"iso8859-15": "iso8859-15", "cp1252": "cp1252"}.get(encoding)
    assert read(path, ("a", "b", "c"), size, ReadOptions(encoding=given)) == (rows, [])


@settings(max_examples=60, deadline=None)
@given(
    table=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8).filter(
        lambda rows: any('"' in cell for row in rows for cell in row) and all(any(row) for row in rows)
    )
)
def test_quotes_may_be_escaped_by_backslash(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str, str]]
) -> None:
    text, rows = written(table, ",", csv.QUOTE_ALL, True, "")
    path = write(tmp_path_factory.mktemp("csv"), text.encode())
    read_rows, refused = read(path, ("a", "b", "c"))
    assert refused == []
    if read_rows != rows:
        # a text that is sound in both dialects is read in the usual one
        usual = [row for row in csv.reader(io.StringIO(text)) if row][1:]
        assert [cells for _, *cells in read_rows] == [
            [cell.strip() or None for cell in row[:3]] for row in usual
        ]


def test_blanks_around_separators_belong_to_no_field(tmp_path: Path) -> None:
    path = write(tmp_path, b' user ,  product , x\n u1 , "p, 1" ,"y"\n\xc2\xa0u2\xc2\xa0,\tp2\t,\n')
    assert read(path, ("user", "product", "x"))[0] == [(2, "u1", "p, 1", "y"), (3, "u2", "p2", None)]


def test_open_quotes_refuse_their_lines_only_however_long_the_file(tmp_path: Path) -> None:
    lines = [f'x{i},"open,1' if i % 700 == 5 else f"x{i},y,1" for i in range(5_000)]
    path = write(tmp_path, ("a,b,c\n" + "\n".join(lines) + "\n").encode())
    rows, refused = read(path, ("a", "b", "c"))
    faulty = [i for i in range(5_000) if i % 700 == 5]
    assert [line for line, *_ in refused] == [i + 2 for i in faulty]
    assert {reason for _, _, reason, _ in refused} == {"quote never closed"}
    assert [line for line, *_ in rows] == [i + 2 for i in range(5_000) if i not in set(faulty)]


def test_an_open_quote_before_a_row_of_several_lines_spoils_neither(tmp_path: Path) -> None:
    path = write(tmp_path, b'a,b,c\n1,x,"open\n2,"two\nlines",y\n3,x,y\n')
    rows, refused = read(path, ("a", "b", "c"))
    assert rows == [(3, "2", "two\nlines", "y"), (5, "3", "x", "y")]
    assert refused == [(2, None, "quote never closed", '1,x,"open')]


def test_rows_between_two_stray_quotes_are_not_swallowed(tmp_path: Path) -> None:
    inner = "".join(f"{i},x,y\n" for i in range(10))
    path = write(tmp_path, f'a,b,c\n0,x,"open\n{inner}9,x,5"\n'.encode())
    rows, refused = read(path, ("a", "b", "c"))
    assert [line for line, *_ in rows] == [*range(3, 13), 13]
    assert [line for line, *_ in refused] == [2]


def test_lines_of_open_quotes_alone_are_all_refused(tmp_path: Path) -> None:
    count = 5 * MOST_READS
    path = write(tmp_path, b"a,b\n" + b'"x,1\n' * count)
    rows, refused = read(path, ("a", "b"))
    assert rows == []
    assert [(line, raw) for line, _, _, raw in refused] == [(line, '"x,1') for line in range(2, count + 2)]


def test_a_header_of_several_lines(tmp_path: Path) -> None:
    path = write(tmp_path, b'user,"product\n(id)"\nann,tea\n')
    assert read(path, ("user", "product (id)")) == ([(3, "ann", "tea")], [])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "^"])
def test_the_separator_is_found_or_given(tmp_path: Path, separator: str) -> None:
    path = write(tmp_path, f" A {separator}b\n1{separator}2\n".encode())
    options = ReadOptions(separator="^") if separator == "^" else None
    assert read(path, ("a", "b"), options=options) == ([(2, "1", "2")], [])


def test_a_zip_archive_of_one_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("export/", "")
        archive.writestr("__MACOSX/._a.csv", "x")
        archive.writestr("export/a.csv", TABLE)
    assert read(path, ("user",))[0] == [(2, "ann"), (3, "bob")]


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\r\n", "is empty"),
        (b"\x00\x01,b\n", "is binary"),
        (b"PAR1 no parquet", "not a readable parquet"),
        (b"a,x\n", "has no column b; it has: a, x"),
        (b"a,b,b\n", "the column b more than once"),
        (b"SQLite format 3\0,b\n", "is an SQLite database"),
        (b"%PDF-1.7\n", "is a PDF document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", r"an old Excel workbook \(.xls\)"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), r"an Excel workbook \(.xlsx\)"),
        (zipped("mimetype", "content.xml"), "an OpenDocument file"),
        (zipped("a.csv", "b.csv"), r"a zip archive of 2 files \(a.csv, b.csv\)"),
        (zipped(), "a zip archive of 0 files"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"Obj\x01", "an Avro file"),
        (b"ORC", "an ORC file"),
        (b"ARROW1\0\0", "an Arrow IPC"),
        (b"x" * 257 + b"ustar\0", "a tar archive"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (gzip.compress(bytes(range(33, 127)) * 500, mtime=0)[:-20], "damaged gzip"),
        (bz2.compress(TABLE * 50)[:-9], "damaged bzip2"),
        (lzma.compress(TABLE * 50)[:-9], "damaged xz"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 40, "damaged zstd"),
        (b'[{"a": 1}, {', "not a complete JSON array"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(Invalid, match=message) as caught, open_source(write(tmp_path, content), ("a", "b")):
        pass
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("encoding", ["klingon", "base64", "zlib"])
def test_an_unknown_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    with (
        pytest.raises(Invalid, match=f"--encoding {encoding}"),
        open_source(write(tmp_path, TABLE), ("user",), options=ReadOptions(encoding=encoding)),
    ):
        pass


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="does not exist"), open_source(tmp_path / "nothing.csv", ("a",)):
        pass
    with pytest.raises(Invalid, match="is not a file"), open_source(tmp_path, ("a",)):
        pass


def test_text_that_is_not_utf_8_is_read_as_windows_1252_and_reported(tmp_path: Path) -> None:
    path = write(tmp_path, "user,product\nann,Café – 3 €\n".encode("cp1252"))
    with open_source(path, ("product",)) as source:
        assert [batch.rows["product"].to_list() for batch in source.batches()] == [["Café – 3 €"]]
        assert any("Windows-1252" in note for note in source.notes)


def test_an_encoding_that_is_given_is_used(tmp_path: Path) -> None:
    path = write(tmp_path, "user,product\n田中,お茶\n".encode("shift_jis"))
    assert read(path, ("user", "product"), options=ReadOptions(encoding="shift_jis"))[0] == [
        (2, "田中", "お茶")
    ]
