"""Tests of features.build."""
