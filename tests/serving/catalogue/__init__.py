"""Tests of serving.catalogue."""
