"""Tests of recsys.domains.payments.refunds."""
