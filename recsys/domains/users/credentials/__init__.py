"""Passwords, one-time tokens, known devices, and how often an attempt may fail."""
