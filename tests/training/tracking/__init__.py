"""Tests of training.tracking."""
