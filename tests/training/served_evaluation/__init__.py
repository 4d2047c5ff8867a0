"""Tests of training.served_evaluation."""
