"""Tests of performance.load."""
