"""TypeScript types of an OpenAPI document: one type for each schema, and one interface of all operations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from recsys.web.openapi.document import operations

__all__ = ["typescript"]

Schema = Mapping[str, Any]

_HEADER = """// Types of the HTTP API of recsys, written by `make types` from its OpenAPI document.
//
// `Operations["similar_products"]["response"]` is the body of a response, `Problem` that of an error.
"""
_PLAIN = {"integer": "number", **{kind: kind for kind in ("string", "number", "boolean", "null")}}
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_PARTS = (("path", "pathParameters"), ("query", "query"), ("header", "headers"))


def typescript(document: Mapping[str, Any]) -> str:
    """Return the text of a `.d.ts` module for an OpenAPI 3.1 document."""
    lines = [_HEADER]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += _comment(schema, "")
        if "properties" in schema:
            lines += [f"export interface {_name(name)} {_object(schema, '')}", ""]
        else:
            lines += [f"export type {_name(name)} = {_type(schema, '')};", ""]
    lines.append("export interface Operations {")
    for path, method, operation in sorted(operations(document), key=lambda each: each[2]["operationId"]):
        lines += _operation(path, method, operation)
    return "\n".join([*lines, "}"]) + "\n"


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield from _comment({"description": operation.get("description", "").partition("\n\n")[0]}, "  ")
    yield f"  {operation['operationId']}: {{"
    yield f"    method: {json.dumps(method.upper())};"
    yield f"    path: {json.dumps(path)};"
    for place, member in _PARTS:
        parameters = [each for each in operation.get("parameters", ()) if each["in"] == place]
        if parameters:
            schema = {
                "properties": {
                    each["name"]: {**each["schema"], "description": each.get("description", "")}
                    for each in parameters
                },
                "required": [each["name"] for each in parameters if each["required"]],
            }
            yield f"    {member}{'' if schema['required'] else '?'}: {_object(schema, '    ')};"
    body = operation.get("requestBody")
    if body is not None:
        yield f"    body{'' if body.get('required') else '?'}: {_content(body, '    ')};"
    successes = [_content(each, "    ") for status, each in operation["responses"].items() if status < "400"]
    yield f"    response: {' | '.join(dict.fromkeys(successes))};"
    yield "  };"


def _content(part: Mapping[str, Any], indent: str) -> str:
    """Return the type of a body: that of its JSON, else a string; void without one."""
    content = part.get("content", {})
    if not content:
        return "void"
    media = content.get("application/json")
    return "string" if media is None else _type(media.get("schema") or {}, indent)


def _object(schema: Schema, indent: str) -> str:
    required = schema.get("required", ())
    lines = ["{"]
    for name, part in schema["properties"].items():
        lines += _comment(part, indent + "  ")
        key = name if _IDENTIFIER.fullmatch(name) else json.dumps(name)
        optional = "" if name in required else "?"
        lines.append(f"{indent}  {key}{optional}: {_type(part, indent + '  ')};")
    return "\n".join([*lines, f"{indent}}}"])


def _type(schema: Schema, indent: str) -> str:
    if "$ref" in schema:
        return _name(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    for key, sign in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")):
        if key in schema:
            return sign.join(dict.fromkeys(_type(option, indent) for option in schema[key]))
    if schema.get("properties"):
        return _object(schema, indent)
    kind = schema.get("type")
    if kind == "array":
        return f"Array<{_type(schema.get('items') or {}, indent)}>"
    if kind == "object":
        values = schema.get("additionalProperties", True)
        if values is False:
            return "Record<string, never>"
        return f"Record<string, {_type(values if isinstance(values, dict) else {}, indent)}>"
    return _PLAIN.get(str(kind), "unknown")


def _name(name: str) -> str:
    """Return a schema's name as an identifier: FastAPI writes `PriceRange-Input`."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _comment(schema: Schema, indent: str) -> Iterator[str]:
    text = " ".join(schema.get("description", "").split()).replace("*/", "*\\/")
    marks = [text, "@deprecated" if schema.get("deprecated") else ""]
    if any(marks):
        yield f"{indent}/** {' '.join(mark for mark in marks if mark)} */"
