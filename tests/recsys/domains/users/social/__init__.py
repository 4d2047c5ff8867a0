"""Tests of recsys.domains.users.social."""
