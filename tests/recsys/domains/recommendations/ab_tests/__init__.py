"""Tests of recsys.domains.recommendations.ab_tests."""
