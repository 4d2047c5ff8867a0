"""Tests of serving.gorse."""
