"""Refunds, also those of cancelled orders."""
