"""Tests of recsys.domains.recommendations.impressions."""
