"""Tests of recsys.imports.readers."""
