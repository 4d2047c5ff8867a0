"""Tests of recsys.imports.complete_journey."""
