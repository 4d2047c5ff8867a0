"""Tests of recsys.domains.recommendations.interactions."""
