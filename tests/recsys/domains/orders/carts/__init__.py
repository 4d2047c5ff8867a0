"""Tests of recsys.domains.orders.carts."""
