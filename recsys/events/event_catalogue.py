"""The vocabulary as data, for people and scripts."""

from __future__ import annotations

import inspect
from typing import Any

from recsys.events.envelope import stream_of
from recsys.events.vocabulary import FAMILIES, Event, event_types

__all__ = ["vocabulary"]


def vocabulary() -> list[dict[str, Any]]:
    """Each event: name, version, stream, what it says, and its fields as their JSON schema has them."""
    known = sorted(event_types().values(), key=lambda each: (FAMILIES.index(each.family), each.name))
    return [
        {
            "name": each.name,
            "version": each.version,
            "stream": stream_of(each.family),
            "about": inspect.getdoc(each) or "",
            "fields": _fields(each),
        }
        for each in known
    ]


def _fields(event: type[Event]) -> list[dict[str, Any]]:
    schema = event.model_json_schema(mode="serialization")
    return [
        {
            "name": name,
            "type": _type(schema["properties"][name]),
            "required": field.is_required(),
            "about": field.description or "",
        }
        for name, field in event.model_fields.items()
    ]


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("format") or schema.get("type", "any"))
