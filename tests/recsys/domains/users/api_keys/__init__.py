"""Tests of recsys.domains.users.api_keys."""
