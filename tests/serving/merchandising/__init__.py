"""Tests of serving.merchandising."""
