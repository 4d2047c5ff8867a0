"""Tests of training.promotion."""
