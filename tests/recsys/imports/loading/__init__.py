"""Tests of what imports write."""
