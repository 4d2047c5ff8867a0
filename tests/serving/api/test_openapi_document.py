"""The whole OpenAPI document: ids, examples and errors of every operation, and the files made from it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
from fastapi import FastAPI

from recsys.web.openapi.document import operations
from recsys.web.route_names import all_routes
from serving.server.app import create_app
from tests.architecture.words import banned_in_name

Document = dict[str, Any]


@cache
def application() -> FastAPI:
    return create_app()


def document() -> Document:
    found: Document = application().openapi()
    return found


def examples_of(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each example of a body with its schema, references resolved."""
    components = document()["components"]
    for media in content.values():
        named = media.get("examples", {"example": {"value": media["example"]}} if "example" in media else {})
        for example in named.values():
            name = example.get("$ref", "").rpartition("/")[2]
            value = components["examples"][name]["value"] if name else example["value"]
            yield {**media["schema"], "components": components}, value


def test_operation_ids_are_unique_short_and_say_who_may() -> None:
    ids = Counter(operation["operationId"] for _, _, operation in operations(document()))
    assert [name for name, count in ids.items() if count > 1] == []
    assert [name for name in ids if not re.fullmatch(r"[a-z][a-z0-9_]{2,34}", name)] == []
    for path, _, operation in operations(document()):
        assert path.startswith("/api/v1/admin/") == operation["operationId"].startswith("admin_"), path


def _schemas_of_responses() -> dict[str, dict[str, Any]]:
    """The properties of each schema that some response has, at any depth, by the schema's name."""
    components = document()["components"]["schemas"]
    found: dict[str, dict[str, Any]] = {}
    waiting: list[Any] = [operation["responses"] for _, _, operation in operations(document())]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name in components and name not in found:
                found[name] = components[name].get("properties", {})
                waiting.append(components[name])
            waiting.extend(value.values())
    return found


def test_answers_have_own_ids_beside_the_numbers() -> None:
    schemas = _schemas_of_responses()
    assert len(schemas) > 50
    own_ids = {"user_id": "username", "product_id": "sku", "variant_id": "sku", "product_ids": "skus"}
    assert [
        (name, number)
        for name, properties in schemas.items()
        for number, own_id in own_ids.items()
        # a rule has the own ids of its target beside the target
        if number in properties and own_id not in properties and name != "TargetIn-Output"
    ] == []


def test_no_name_in_the_document_is_a_banned_word() -> None:
    names: set[str] = set()
    waiting: list[Any] = [document()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            names.update(value.get("properties", {}))
            names.update(str(word) for word in value.get("enum", ()))
            names.update(filter(None, [value.get("name")]) if "in" in value else ())
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    assert len(names) > 300
    assert {name for name in names if banned_in_name(name)} == set()


def test_every_body_has_an_example_that_is_valid() -> None:
    counts = Counter[str]()
    for path, method, operation in operations(document()):
        bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for name, body in bodies.items():
            content = {kind: media for kind, media in body.get("content", {}).items() if media.get("schema")}
            examples = list(examples_of(content))
            assert len(examples) >= len(content), (method, path, name)
            for schema, value in examples:
                validator = jsonschema.Draft202012Validator(schema)
                faults = [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(value)]
                assert faults == [], (method, path, name)
                counts[name] += 1
    assert min(counts["request"], counts["200"], counts["201"], counts["404"]) > 15


def test_every_required_parameter_has_an_example_that_is_valid() -> None:
    components = document()["components"]
    parameters = [
        parameter
        for _, _, operation in operations(document())
        for parameter in operation.get("parameters", ())
        if parameter["required"]
    ]
    assert len(parameters) > 50
    for parameter in parameters:
        jsonschema.validate(parameter["example"], {**parameter["schema"], "components": components})


def test_the_routes_take_the_examples_of_their_bodies() -> None:
    bodies = 0
    for route in all_routes(application().routes):
        field = getattr(route, "body_field", None)
        documented = field is not None and route.include_in_schema
        for method in route.methods if documented else ():
            path = re.sub(r":[a-z]+}", "}", route.path)  # without convertors
            content = document()["paths"][path][method.lower()]["requestBody"]["content"]
            for _, example in examples_of(content):
                _, faults = field.validate(example, {}, loc=("body",))
                assert not faults, (method, route.path, faults)
                bodies += 1
    assert bodies > 40


def test_every_error_is_a_problem_with_an_example() -> None:
    for path, method, operation in operations(document()):
        errors = {status: body for status, body in operation["responses"].items() if status >= "400"}
        expected = {"401", "422", "429", "503"} if path.startswith("/api/") else {"422"}
        assert errors.keys() >= expected, (method, path)
        for status, response in errors.items():
            (media,) = response["content"].items()
            assert media[0] == "application/problem+json"
            assert media[1]["schema"] == {"$ref": "#/components/schemas/Problem"}
            ((_, example),) = examples_of(response["content"])
            assert str(example["status"]) == status
