"""The TypeScript of a small document, word for word."""

from __future__ import annotations

from recsys.web.openapi.typescript import typescript

DOCUMENT = {
    "paths": {
        "/a/{id}": {
            "post": {
                "operationId": "post_a",
                "description": "Post an A.\n\nMore.",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "attr.x", "in": "query", "required": False, "schema": {"const": 1},
                     "description": "Ends */ here."},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/A-Input"}}},
                },
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/x/Kind"}}}},
                    "202": {"content": {"text/plain": {}}},
                    "404": {"content": {"application/problem+json": {}}},
                },
            },
            "delete": {"operationId": "delete_a", "responses": {"204": {}}},
        }
    },
    "components": {
        "schemas": {
            "Kind": {"enum": ["x", "y"]},
            "A-Input": {
                "description": "An A.",
                "required": ["name"],
                "properties": {
                    "name": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "old": {"type": "array", "items": {"type": "number"}, "deprecated": True},
                    "more": {"type": "object", "additionalProperties": {"type": "boolean"}},
                    "none": {"type": "object", "additionalProperties": False},
                    "any": {},
                    "both": {"allOf": [{"$ref": "#/components/schemas/Kind"}, {"type": "string"}]},
                },
            },
        }
    },
}  # fmt: skip

EXPECTED = """/** An A. */
export interface A_Input {
  name: string | null;
  /** @deprecated */
  old?: Array<number>;
  more?: Record<string, boolean>;
  none?: Record<string, never>;
  any?: unknown;
  both?: Kind & string;
}

export type Kind = "x" | "y";

export interface Operations {
  delete_a: {
    method: "DELETE";
    path: "/a/{id}";
    response: void;
  };
  /** Post an A. */
  post_a: {
    method: "POST";
    path: "/a/{id}";
    pathParameters: {
      id: number;
    };
    query?: {
      /** Ends *\\/ here. */
      "attr.x"?: 1;
    };
    body: A_Input;
    response: Kind | string;
  };
}
"""


def test_schemas_and_operations_become_types() -> None:
    text = typescript(DOCUMENT)
    assert text.endswith(f"\n\n{EXPECTED}")
    assert text.startswith("// Types of the HTTP API")
