"""Tests of recsys.domains.payments.fraud."""
