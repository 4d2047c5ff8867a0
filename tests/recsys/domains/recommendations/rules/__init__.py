"""Tests of recsys.domains.recommendations.rules."""
