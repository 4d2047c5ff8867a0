"""A product feed in XML (RSS 2.0 or Atom) as JSON lines, one per item."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, iterparse

import orjson

from recsys.errors import Invalid
from recsys.imports.readers.compression import decompressed

__all__ = ["stated_encoding", "xml_to_json_lines"]

_ITEMS = {"item", "entry", "product", "offer"}
_GOOGLE = "base.google.com"
_DECLARATION = re.compile(rb"\s*<\?xml[^>]*\?>")
_ENCODING = re.compile(rb"""\sencoding\s*=\s*["']([A-Za-z][\w.-]*)["']""")


def stated_encoding(source: Path) -> str | None:
    """The encoding that an XML file declares, unless that is UTF-8 or one with a byte order mark."""
    with decompressed(source) as stream:
        declaration = _DECLARATION.match(stream.read(256))
    named = _ENCODING.search(declaration[0]) if declaration else None
    if named is None:
        return None
    try:
        name = codecs.lookup(named[1].decode()).name
    except LookupError:
        return None
    return None if name.startswith("utf") else name


def xml_to_json_lines(source: Path, target: Path, shown: str) -> Path:
    """Write each item as an object of its elements, without name spaces; repeated ones become arrays.

    Parameters
    ----------
    source, target
        The feed, and the file to write.
    shown
        Name of the feed in messages.

    Returns
    -------
    Path
        The `target`.

    Raises
    ------
    Invalid
        The text is no XML or declares entities, which a feed has no use for.
    """
    with source.open("rb") as stream:
        if b"<!ENTITY" in stream.read(1 << 16):
            raise Invalid(f"{shown} declares XML entities; write the feed without them")
    with target.open("wb") as lines, source.open("rb") as stream:
        declaration = _DECLARATION.match(stream.read(256))
        # the text is UTF-8 by now, whatever the declaration says
        stream.seek(declaration.end() if declaration else 0)
        try:
            for _, element in iterparse(stream):
                if _local(element.tag) in _ITEMS and len(element):
                    lines.write(orjson.dumps(_fields(element)) + b"\n")
                    element.clear()
        except ParseError as error:
            raise Invalid(f"{shown} is damaged XML ({error}); write the feed again") from error
    return target


def _fields(item: Element) -> dict[str, str | list[str]]:
    texts: dict[str, dict[str, list[str]]] = {}
    for element in item:
        if element.get("rel", "alternate") != "alternate":
            continue
        text = (element.text or "").strip()
        named = texts.setdefault(_local(element.tag), {})
        named.setdefault(element.tag, []).append(text or element.get("href", ""))
    # `title` beside `g:title` is the same text for other readers
    chosen = {name: max(tags.items(), key=lambda tag: _GOOGLE in tag[0])[1] for name, tags in texts.items()}
    return {name: given if len(given) > 1 else given[0] for name, given in chosen.items()}


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
