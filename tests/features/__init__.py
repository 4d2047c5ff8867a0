"""Tests of the way from stored behaviour to a dataset."""
