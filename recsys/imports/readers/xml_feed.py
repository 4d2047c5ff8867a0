"""A product feed in XML (RSS 2.0 or Atom) as JSON lines, one per item."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, iterparse

import orjson

from recsys.errors import Invalid

__all__ = ["xml_to_json_lines"]

_ITEMS = {"item", "entry", "product", "offer"}


def xml_to_json_lines(source: Path, target: Path, shown: str) -> Path:
    """Write each item as an object of its elements, without name spaces; repeated ones become arrays.

    Raises Invalid for text that is no XML or declares entities, which a feed has no use for.
    """
    with source.open("rb") as stream:
        if b"<!ENTITY" in stream.read(1 << 16):
            raise Invalid(f"{shown} declares XML entities; write the feed without them")
    with target.open("wb") as lines, source.open("rb") as stream:
        try:
            for _, element in iterparse(stream):
                if _local(element.tag) in _ITEMS and len(element):
                    lines.write(orjson.dumps(_fields(element)) + b"\n")
                    element.clear()
        except ParseError as error:
            raise Invalid(f"{shown} is damaged XML ({error}); write the feed again") from error
    return target


def _fields(item: Element) -> dict[str, str | list[str]]:
    fields: dict[str, str | list[str]] = {}
    for element in item:
        name = _local(element.tag)
        text = (element.text or element.get("href") or "").strip()
        before = fields.get(name)
        if before is None:
            fields[name] = text
        else:
            fields[name] = [*(before if isinstance(before, list) else [before]), text]
    return fields


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
