"""Examples of schemas: the field's own, by name, by type; valid for every kind of schema."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from recsys.web.openapi.examples import example_of

TREE = {
    "type": "object",
    "required": ["name", "children"],
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
    },
}
PAIR = {
    "required": ["price"],
    "examples": [{"note": "cheap"}],
    "properties": {
        "price": {"type": "string", "pattern": "^[0-9]+\\.[0-9]{2}$"},
        "note": {"type": "string"},
        "former": {"type": "string", "deprecated": True},
    },
}


@pytest.mark.parametrize(
    ("name", "schema", "expected"),
    [
        ("sku", {"type": "string"}, "EL-0118"),
        ("sku", {"type": "string", "examples": ["A-1"]}, "A-1"),
        ("sku", {"type": "string", "pattern": "^[a-z]+-[a-z]+$"}, "desk-lamp"),
        ("sku", {"type": "string", "maxLength": 4}, "sku"),
        ("product_id", {"type": "integer", "minimum": 1}, 42),
        ("share", {"type": "number", "maximum": 1}, 1),
        ("limit", {"type": "integer", "default": 20}, 20),
        ("kind", {"enum": ["pin", "boost"]}, "pin"),
        ("kind", {"const": "pin"}, "pin"),
        ("at", {"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]}, "2026-11-20"),
        ("nothing", {"anyOf": [{"type": "null"}]}, None),
        ("in_stock", {"type": "boolean"}, True),
        ("context", {"type": "object"}, {}),
        ("phrases", {"type": "array", "items": {}, "minItems": 3}, ["couch", "sofa", "couch 3"]),
        ("tree", {"$ref": "#/components/schemas/Tree"}, {"name": "Desk lamp", "children": []}),
        ("pair", PAIR, {"price": "24.90", "note": "cheap"}),
    ],
)  # fmt: skip
def test_an_example_is_the_fields_own_else_by_name_else_by_type(
    name: str, schema: dict[str, Any], expected: object
) -> None:
    example = example_of(schema, {"Tree": TREE}, name)
    assert example == expected
    jsonschema.validate(example, {**schema, "components": {"schemas": {"Tree": TREE}}})


def test_a_short_example_has_the_required_fields_or_the_first() -> None:
    optional = {"properties": {"name": {"type": "string"}, "sku": {"type": "string"}}}
    required = {**optional, "required": ["sku"]}
    assert example_of(required, {}, short=True) == {"sku": "EL-0118"}
    assert example_of(optional, {}, short=True) == {"name": "Desk lamp"}
    assert example_of(optional, {}) == {"name": "Desk lamp", "sku": "EL-0118"}
