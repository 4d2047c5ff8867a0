"""Tests of recsys.domains.recommendations.stored_lists."""
