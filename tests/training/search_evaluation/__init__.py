"""Tests of training.search_evaluation."""
