"""Exports of the shop's data."""
