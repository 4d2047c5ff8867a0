"""Tests of training.report."""
