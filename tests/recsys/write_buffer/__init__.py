"""Tests of the write buffer."""
