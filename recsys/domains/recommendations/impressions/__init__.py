"""Displayed lists, in tables of our own."""
