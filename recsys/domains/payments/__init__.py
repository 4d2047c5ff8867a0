"""Payments, stored methods, refunds, attempts and fraud flags."""
