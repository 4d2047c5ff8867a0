"""Records keep their physical line numbers, and a bad line spoils no other, wherever blocks are cut."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import Invalid
from recsys.imports.readers.csv_records import LOOK_AHEAD, CsvFile
from recsys.imports.readers.records import open_source

Rows = list[tuple[object, ...]]


def read(path: Path, wanted: tuple[str, ...], block: int) -> tuple[Rows, Rows]:
    batches = list(CsvFile(path).batches(wanted, block))
    rows = pl.concat([batch.rows for batch in batches]).select("line", *wanted).rows()
    refused = pl.concat([batch.refused for batch in batches]).rows()
    return rows, refused


@pytest.mark.parametrize("block", [1, 7, 40, 1 << 20])
def test_faulty_lines_are_refused_where_they_stand(tmp_path: Path, block: int) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        b"\xef\xbb\xbfa,b,c\n"
        b"1,x,plain\n"
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
        b'12,x,"last"'
    )
    rows, refused = read(path, ("a", "b", "c"), block)
    assert rows == [
        (2, "1", "x", "plain"),
        (3, "2,2", "x", 'two\nlines "q"'),
        (5, "3", "x", '5" pipe'),
        (7, "5", "x", None),
        (13, "10", "x", "y"),
        (14, "11", "a,b", "y"),
        (15, "12", "x", "last"),
    ]
    assert refused == [
        (6, "quote never closed", '4,x,"never closed'),
        (9, "not 3 fields", "6,x"),
        (10, "not 3 fields", "7,x,y,z"),
        (11, "not UTF-8", "\\xff8,x,y"),
        (12, "NUL character", "9\0,x,y"),
    ]


@given(
    table=st.lists(
        st.tuples(*[st.text(st.sampled_from('ab,"\n; é'), max_size=6)] * 3), min_size=1, max_size=12
    ).filter(lambda rows: all(any(row) for row in rows)),
    block=st.integers(1, 60),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_the_csv_module_writes_is_read_back_with_its_lines(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[str, str, str]],
    block: int,
    quoting: int,
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerow(["a", "b", "c"])
    expected: Rows = []
    for row in table:
        expected.append((text.getvalue().count("\n") + 1, *(cell or None for cell in row)))
        writer.writerow(row)
    path.write_text(text.getvalue(), newline="")
    assert read(path, ("a", "b", "c"), block) == (expected, [])


def test_a_quote_left_open_refuses_its_line_only_however_long_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n"open,1\n' + "x,1\n" * (2 * LOOK_AHEAD))
    rows, refused = read(path, ("a",), 1 << 20)
    assert len(rows) == 2 * LOOK_AHEAD
    assert refused == [(2, "quote never closed", '"open,1')]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_found_and_gzip_is_read(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(f" A {separator}b\n1{separator}2\n".encode()))
    assert read(path, ("a", "b"), 1 << 20) == ([(2, "1", "2")], [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xff\xfea\x00", "UTF-16"),
        (b"\x80\x81,b\n", "not UTF-8"),
        (b"SQLite format 3\x00,b\n", "neither CSV nor parquet"),
        (b"PAR1 no parquet", "no readable parquet"),
        (b"a,x\n", "has no column b; it has: a, x"),
        (b"a,b,b\n", "the column b more than once"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(Invalid, match=message) as caught:
        open_source(path, ("a", "b"))
    assert "\n" not in caught.value.message


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + bytes(range(33, 127)) * 500, mtime=0)[:-20])
    with pytest.raises(Invalid, match="damaged gzip"):
        read(path, ("a", "b"), 1 << 20)


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="does not exist"):
        open_source(tmp_path / "nothing.csv", ("a",))
    with pytest.raises(Invalid, match="is not a file"):
        open_source(tmp_path, ("a",))
