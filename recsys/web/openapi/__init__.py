"""The OpenAPI document: operation ids, examples and errors of every operation."""
