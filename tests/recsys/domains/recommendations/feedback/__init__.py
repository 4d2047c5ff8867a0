"""Tests of recsys.domains.recommendations.feedback."""
