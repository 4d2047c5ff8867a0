"""Tests of serving.server."""
