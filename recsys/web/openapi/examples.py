"""Examples of bodies and parameters, built from their JSON schemas.

The example of a field is the field's own (`examples`), else a value for its name, else one for its type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["example_of"]

Schema = Mapping[str, Any]

_BY_FORMAT = {
    "date-time": "2026-11-20T09:30:00Z",
    "date": "2026-11-20",
    "email": "ada@example.org",
    "uuid": "7b1f8f6e-3c1d-4a52-9a55-2f1f0a1c9d3e",
    "uri": "https://shop.example/lamp",
    "ipv4": "203.0.113.7",
    "binary": "…",
}
_BY_NAME: Mapping[str, Any] = {
    "address1": "12 St James's Square",
    "avatar_url": "/avatars/ada.png",
    "barcode": "4006381333931",
    "bcc_email": "archive@shop.example",
    "body_html": "<p>Hello {{ name }}</p>",
    "body_text": "Hello {{ name }}",
    "brand": "Luma",
    "browser": "Firefox",
    "carrier": "DHL",
    "cc_email": "orders@shop.example",
    "city": "London",
    "conversion_rate": "0.0312",
    "country": "GB",
    "currency": "EUR",
    "current_location": "Leipzig",
    "description": "A lamp for the desk.",
    "detail": "The address of the mail server does not answer.",
    "device_type": "desktop",
    "email": "ada@example.org",
    "event_id": "page-17-view-3",
    "first_name": "Ada",
    "full_name": "Ada Lovelace",
    "gateway": "sandbox",
    "gender": "female",
    "image_url": "/images/lamp.png",
    "inventory_policy": "deny",
    "ip_address": "203.0.113.7",
    "last4": "4242",
    "last_name": "Lovelace",
    "login": "ada@example.org",
    "logo_url": "/images/luma.png",
    "name": "Desk lamp",
    "new_password": "correct horse battery staple",
    "option1": "black",
    "order_number": "R-7K3M-9QXT-2HWD",
    "os": "Linux",
    "password": "correct horse battery",
    "path": "/lamps/desk-lamp",
    "phone": "+442079460000",
    "phone_number": "+442079460000",
    "provider": "sandbox",
    "q": "lamp",
    "query": "lamp",
    "prefix": "lam",
    "referrer": "https://search.example/",
    "risk_score": "0.10",
    "session_id": "visit-8c1f",
    "shop_url": "https://shop.example",
    "sku": "EL-0118",
    "slug": "desk-lamp",
    "src": "/images/lamp.png",
    "subject": "Your order",
    "tags": ["lamp"],
    "phrases": ["couch", "sofa"],
    "notes": "Called the customer",
    "internal_notes": "Called the customer",
    "reason": "Bought by mistake",
    "template": "order_paid",
    "text": "Because you bought Coffee 12 OZ",
    "title": "Desk lamp",
    "to_email": "ada@example.org",
    "token": "tok_visa",
    "tracking_number": "00340434161094042557",
    "tracking_url": "https://parcels.example/00340434161094042557",
    "username": "ada",
    "website_url": "https://luma.example",
    "zip": "SW1Y 4JH",
}
_LIMITS: Mapping[str, Any] = {"pattern": "", "minLength": 0, "maxLength": 10**6}
_BY_PATTERN = ("24.90", "desk-lamp", "payment:42", "5f0c1d9e8b7a4f36")
"""Texts for patterns that neither the name nor the format of a field satisfies."""


def example_of(
    schema: Schema,
    components: Schema,
    name: str = "",
    *,
    short: bool = False,
    above: frozenset[str] = frozenset(),
) -> Any:
    """Return a value that is valid by `schema`.

    Parameters
    ----------
    schema
        A JSON schema of an OpenAPI document.
    components
        The document's `components.schemas`, for references.
    name
        The field or parameter that the schema is of.
    short
        Whether objects have their required fields alone, as the shortest request does; the first field
        where none is required.
    above
        The references that the value lies in: a list of what contains it is empty.
    """
    if "$ref" in schema:
        reference = schema["$ref"]
        target = components[reference.rpartition("/")[2]]
        return example_of(target, components, name, short=short, above=above | {reference})
    own = next((schema[key] for key in ("example", "const") if key in schema), None)
    own = next((values[0] for key in ("examples", "enum") if (values := schema.get(key))), own)
    if "properties" in schema:
        fields = _fields(schema, short=short)
        if own is not None and set(own) >= set(schema.get("required", ())):
            return own
        made = {
            field: example_of(schema["properties"][field], components, field, short=short, above=above)
            for field in fields
        }
        return made if own is None else made | own
    if own is not None:
        return own
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            option = next((each for each in schema[key] if each.get("type") != "null"), {"type": "null"})
            return example_of(option, components, name, short=short, above=above)
    if schema.get("type") == "array":
        return _items(schema, components, name, short=short, above=above)
    if schema.get("type") == "object":
        return {}
    return _number(schema, name) if schema.get("type") in ("integer", "number") else _other(schema, name)


def _fields(schema: Schema, *, short: bool) -> list[str]:
    required = schema.get("required", ())
    if short:
        return list(required) or list(schema["properties"])[:1]
    return [
        name for name, part in schema["properties"].items() if name in required or not part.get("deprecated")
    ]


def _items(schema: Schema, components: Schema, name: str, *, short: bool, above: frozenset[str]) -> list[Any]:
    items = schema.get("items") or {}
    if items.get("$ref") in above:
        return []
    named = _BY_NAME.get(name)
    first = (
        named if isinstance(named, list) else [example_of(items, components, name, short=short, above=above)]
    )
    return [
        *first,
        *(f"{first[0]} {number}" for number in range(len(first) + 1, schema.get("minItems", 0) + 1)),
    ]


def _number(schema: Schema, name: str) -> Any:
    if schema.get("default") is not None:
        return schema["default"]
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    most = schema.get("maximum", schema.get("exclusiveMaximum", 2**31))
    return max(least, min(42 if name.endswith("id") else 2, most))


def _other(schema: Schema, name: str) -> Any:
    if schema.get("type") == "boolean":
        return bool(schema.get("default", True))
    if schema.get("type") != "string":
        return None
    if schema.get("format") in _BY_FORMAT:
        return _BY_FORMAT[schema["format"]]
    candidates = (_BY_NAME.get(name), schema.get("default"), name.replace("_", " "), *_BY_PATTERN, "text")
    pattern, least, most = (schema.get(key, default) for key, default in _LIMITS.items())
    return next(
        text
        for text in candidates
        if isinstance(text, str) and least <= len(text) <= most and re.search(pattern, text)
    )
