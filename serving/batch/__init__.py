"""Stored lists of many users: scored in one run, refreshed one by one after an event."""
